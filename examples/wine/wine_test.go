package wine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/examples/wine"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// What the README says of the data.
func TestColumns(t *testing.T) {
	t.Parallel()
	columns, err := wine.Columns()
	require.NoError(t, err)
	require.Len(t, columns, 12)
	require.Equal(t, "fixed_acidity", columns[0].Name)
	alcohol, quality := columns[10], columns[11]
	require.Equal(t, "alcohol", alcohol.Name)
	require.Equal(t, profile.Float, alcohol.Type)
	require.Equal(t, profile.Int, quality.Type)
	require.Equal(t, 1599, alcohol.Len())
	sum := 0.0
	for _, v := range alcohol.Numbers {
		sum += v
	}
	require.InDelta(t, 10.422983, sum/1599, 1e-6)
}
