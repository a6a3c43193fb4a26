package drift_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// Tags are of the caller's tenant, and bounded; what is wrong with one leaves none.
func TestTagsOfATenant(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	tags := driftv1.NewTagServiceClient(r.conn)
	set := func(tenant string, all ...*driftv1.Tag) error {
		_, err := tags.SetTags(as(t, tenant), &driftv1.SetTagsRequest{Tags: all})
		return err
	}
	good := &driftv1.Tag{EntityType: "profile", EntityId: "a", Key: "team", Value: ""}
	require.NoError(t, set("acme", good, good))
	for _, bad := range []*driftv1.Tag{
		{EntityId: "a", Key: "k"}, {EntityType: "t", Key: "k"}, {EntityType: "t", EntityId: "a"}, {EntityType: strings.Repeat("t", 129), EntityId: "a", Key: "k"},
		{EntityType: "t", EntityId: strings.Repeat("a", 257), Key: "k"}, {EntityType: "t", EntityId: "a", Key: strings.Repeat("k", 257)}, {EntityType: "t", EntityId: "a", Key: "k", Value: strings.Repeat("v", 4097)},
	} {
		require.ErrorIs(t, set("acme", &driftv1.Tag{EntityType: "t", EntityId: "b", Key: "k"}, bad), fault.Invalid)
	}
	require.ErrorIs(t, set("acme", make([]*driftv1.Tag, 1001)...), fault.Invalid)
	list := func(tenant, kind, id string) []*driftv1.Tag {
		got, err := tags.ListTags(as(t, tenant), &driftv1.ListTagsRequest{EntityType: kind, EntityId: id})
		require.NoError(t, err)
		return got.GetTags()
	}
	require.Len(t, list("acme", "profile", "a"), 1)
	require.Empty(t, list("acme", "t", "b"))
	require.Empty(t, list("other", "profile", "a"))

	find := func(tenant string, all ...*driftv1.Tag) ([]string, error) {
		got, err := tags.FindTagged(as(t, tenant), &driftv1.FindTaggedRequest{EntityType: "profile", Tags: all, MatchAll: true})
		return got.GetEntityIds(), err
	}
	ids, err := find("acme", good, good) // twice the same is once
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, ids)
	ids, err = find("other", good)
	require.NoError(t, err)
	require.Empty(t, ids)
	_, err = find("acme")
	require.ErrorIs(t, err, fault.Invalid)
}

// A profile that moves here keeps its uid, which has to be one.
func TestAProfileThatMovesHere(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	made, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{Profile: wineProfile(t), Uid: "01A21A35-FF59-7252-9B50-937BB812F2E0"})
	require.NoError(t, err)
	require.Equal(t, "01a21a35-ff59-7252-9b50-937bb812f2e0", made.GetProfile().GetUid())
	for _, bad := range []string{"x", "00000000-0000-0000-0000-000000000000"} {
		_, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{Profile: wineProfile(t), Uid: bad})
		require.ErrorIs(t, err, fault.Invalid, bad)
	}
	_, err = r.CreateProfile(as(t, "other"), &driftv1.CreateProfileRequest{Profile: wineProfile(t), Uid: made.GetProfile().GetUid()})
	require.ErrorIs(t, err, fault.Exists)
}
