package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

func TestTags(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		ctx := t.Context()
		set := func(tenant string, at time.Time, tags ...store.Tag) {
			require.NoError(t, s.SetTags(ctx, tenant, tags, 100, at))
		}
		set("acme", noon, store.Tag{"profile", "a", "team", "search"}, store.Tag{"profile", "a", "stage", "live"}, store.Tag{"trace", "a", "team", "search"})
		set("acme", noon.Add(time.Hour), store.Tag{"profile", "b", "team", "search"}, store.Tag{"profile", "a", "stage", "test"})
		set("other", noon, store.Tag{"profile", "c", "team", "search"})

		got, err := s.Tags(ctx, "acme", "profile", "a")
		require.NoError(t, err)
		require.Equal(t, []store.Tag{{"profile", "a", "stage", "test"}, {"profile", "a", "team", "search"}}, got, "the second word on the stage holds")

		asked := []store.Tag{{Key: "team", Value: "search"}, {Key: "stage", Value: "test"}}
		for atLeast, want := range map[int][]string{1: {"a", "b"}, 2: {"a"}} {
			ids, err := s.Tagged(ctx, "acme", "profile", asked, atLeast, 10)
			require.NoError(t, err)
			require.Equal(t, want, ids)
		}
		ids, err := s.Tagged(ctx, "acme", "profile", []store.Tag{{Key: "stage", Value: "live"}}, 1, 10)
		require.NoError(t, err)
		require.Empty(t, ids)

		require.NoError(t, s.ForgetTags(ctx, "profile", noon.Add(time.Minute)))
		got, err = s.Tags(ctx, "acme", "profile", "a")
		require.NoError(t, err)
		require.Len(t, got, 1)
		got, err = s.Tags(ctx, "acme", "trace", "a")
		require.NoError(t, err)
		require.Len(t, got, 1)
	})
}

// Too many are refused, and none of them is kept.
func TestTagsAreBounded(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		one := store.Tag{"trace", "a", "k", "v"}
		require.NoError(t, s.SetTags(t.Context(), "other", []store.Tag{{"trace", "z", "k", "v"}}, 1, noon))
		require.NoError(t, s.SetTags(t.Context(), "acme", []store.Tag{one, one}, 1, noon))
		require.ErrorIs(t, s.SetTags(t.Context(), "acme", []store.Tag{{"trace", "b", "k", "v"}}, 1, noon), fault.Exhausted)
		got, err := s.Tags(t.Context(), "acme", "trace", "b")
		require.NoError(t, err)
		require.Empty(t, got)
	})
}

// A profile keeps the uid that it brings, and nobody else gets the same.
func TestAProfileKeepsItsUID(t *testing.T) {
	each(t, func(t *testing.T, s *store.State) {
		before := register(t, s, "acme", "here")
		moved := store.NewProfile{Tenant: "acme", Now: noon, First: noon.Add(time.Hour), Profile: before.Profile, UID: "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11"}
		p := *before.Profile
		p.Name, p.Version, moved.Profile = "moved", "2.3.4", &p
		got, err := s.CreateProfile(t.Context(), moved)
		require.NoError(t, err)
		require.Equal(t, []string{"01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11", "2.3.4"}, []string{got.UID, got.Version})
		other := *before.Profile
		other.Name, moved.Tenant, moved.Profile = "again", "other", &other
		_, err = s.CreateProfile(t.Context(), moved)
		require.ErrorIs(t, err, fault.Exists)
	})
}
