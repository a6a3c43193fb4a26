package requestid_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/requestid"
)

func TestOnlyWhatIsANameIsTaken(t *testing.T) {
	for _, good := range []string{"a", "7f3c0d0e-1b2a-4c3d-8e9f-001122334455", "edge:eu/1+2=3@x_y.z", strings.Repeat("a", 128)} {
		require.Equal(t, good, requestid.Of(good))
	}
	for _, bad := range []string{"", strings.Repeat("a", 129), "a b", "a\nb", "\x1b[2J", "ä", "a\"b", "a,b"} {
		made := requestid.Of(bad)
		require.NotEqual(t, bad, made)
		require.Len(t, made, 26)
		require.Equal(t, made, requestid.Of(made))
	}
	first, second := requestid.Of(""), requestid.Of("")
	require.NotEqual(t, first, second)
	require.Empty(t, requestid.From(t.Context()))
	require.Equal(t, "x", requestid.From(requestid.With(t.Context(), "x")))
}
