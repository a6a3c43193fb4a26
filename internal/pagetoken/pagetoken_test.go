package pagetoken_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/pagetoken"
)

func TestWhatWasGivenOutIsRead(t *testing.T) {
	t.Parallel()
	at, parts, err := pagetoken.Parse(pagetoken.Of(-5, "kind", "with/slash"), 2)
	require.NoError(t, err)
	require.EqualValues(t, -5, at)
	require.Equal(t, []string{"kind", "with/slash"}, parts)
	for _, bad := range []string{"", "!", pagetoken.Of(5), pagetoken.Of(5, "one"), "eC95L3o"} { // x/y/z
		_, _, err := pagetoken.Parse(bad, 2)
		require.ErrorIs(t, err, fault.Invalid, bad)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(pagetoken.Of(5, "a", "b"))
	f.Fuzz(func(t *testing.T, token string) {
		at, parts, err := pagetoken.Parse(token, 2)
		if err != nil {
			return
		}
		again, same, err := pagetoken.Parse(pagetoken.Of(at, parts...), 2)
		require.NoError(t, err)
		require.Equal(t, at, again)
		require.Equal(t, parts, same)
	})
}
