package detect_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/detect"
)

func TestDetectorsAreDescribed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, d := range detect.All {
		require.False(t, seen[d.Name], d.Name)
		seen[d.Name] = true
		require.Same(t, d, detect.Find(d.Name))
		require.NotEmpty(t, d.Help, d.Name)
		for _, p := range d.Params {
			require.NotEmpty(t, p.Help, "%s of %s", p.Name, d.Name)
			require.True(t, p.Min <= p.Default && p.Default <= p.Max, "%s of %s", p.Name, d.Name)
		}
	}
	require.Nil(t, detect.Find("no such"))
}
