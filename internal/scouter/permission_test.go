package scouter_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/scouter"
)

// A role is what permissions say, and never more; what it says of itself gives it again.
func TestRolesAndPermissions(t *testing.T) {
	t.Parallel()
	type want struct {
		role   string
		spaces []string
	}
	for _, c := range []struct {
		may, groups []string
		want
	}{
		{[]string{"read:all"}, nil, want{"viewer", nil}},
		{[]string{"read:all", "write:all"}, []string{"user"}, want{"editor", nil}},
		{[]string{"read", "write"}, nil, want{"editor", nil}},
		{[]string{"write:b", "read:b", "read:a", "write:a", "read:a"}, nil, want{"editor", []string{"a", "b"}}},
		{[]string{"read:a", "read:all"}, nil, want{"viewer", nil}},
		{[]string{"read:all", "write:all", "delete:all"}, []string{"admin"}, want{"admin", nil}},
		{nil, []string{"admin"}, want{"admin", nil}},
	} {
		role, spaces, err := scouter.RoleOf(c.may, c.groups)
		require.NoError(t, err, c)
		require.Equal(t, c.want, want{role, spaces}, c)
		may, groups := scouter.PermissionsOf(role, spaces)
		role, spaces, err = scouter.RoleOf(may, groups)
		require.NoError(t, err)
		require.Equal(t, c.want, want{role, spaces}, "and back")
	}
	for _, bad := range [][]string{nil, {"write:a"}, {"read:a", "write:b"}, {"read:all", "write:a"}, {"delete:a"}, {"read:a", "delete:a"}, {"own:a"}, {"read:"}} {
		_, _, err := scouter.RoleOf(bad, nil)
		require.Error(t, err, bad)
	}
	may, groups := scouter.PermissionsOf("ingest", nil)
	require.Empty(t, may)
	require.Equal(t, []string{"user"}, groups)
}

func TestDocumentsThatSayTheSame(t *testing.T) {
	t.Parallel()
	const one = `{"config":{"uid":"a","name":"n"},"features":{"x":{"center":1.5}}}`
	require.True(t, scouter.SameDocument([]byte(one), []byte(`{ "features":{"x":{"center":1.50}}, "config":{"name":"n","uid":"b"}}`)))
	require.False(t, scouter.SameDocument([]byte(one), []byte(`{"config":{"uid":"a","name":"n"},"features":{"x":{"center":1.6}}}`)))
	require.False(t, scouter.SameDocument([]byte(one), []byte(`[]`)))
}
