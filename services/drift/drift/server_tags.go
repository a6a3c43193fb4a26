package drift

import (
	"context"
	"slices"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// tags keeps what is said about things.
type tags struct {
	driftv1.UnimplementedTagServiceServer
	state *store.State
	now   func() time.Time
}

// Bounds of tags.
const (
	maxTagType, maxTagID, maxTagKey, maxTagValue = 128, 256, 256, 4096
	maxTagsSet                                   = 1000
	maxTagsAsked                                 = 32
	maxTagged                                    = 10_000
	maxTags                                      = 100_000 // of a tenant
	// traceTags are forgotten when Scouter's own server would forget the traces.
	traceTags = 365 * 24 * time.Hour
)

func within(field, text string, least, most int) error {
	if len(text) < least || len(text) > most {
		return fault.Invalid.New("%s: want %d to %d bytes", field, least, most).WithReason("FIELD_INVALID")
	}
	return nil
}

// SetTags sets tags.
func (s *tags) SetTags(ctx context.Context, req *driftv1.SetTagsRequest) (*driftv1.SetTagsResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	if len(req.GetTags()) > maxTagsSet {
		return nil, fault.Invalid.New("tags: at most %d are set at a time", maxTagsSet).WithReason("FIELD_INVALID")
	}
	all := make([]store.Tag, 0, len(req.GetTags()))
	for _, t := range req.GetTags() {
		for _, f := range []struct {
			name, text  string
			least, most int
		}{{"entity_type", t.GetEntityType(), 1, maxTagType}, {"entity_id", t.GetEntityId(), 1, maxTagID}, {"key", t.GetKey(), 1, maxTagKey}, {"value", t.GetValue(), 0, maxTagValue}} {
			if err := within(f.name, f.text, f.least, f.most); err != nil {
				return nil, err
			}
		}
		all = append(all, store.Tag{EntityType: t.GetEntityType(), EntityID: t.GetEntityId(), Key: t.GetKey(), Value: t.GetValue()})
	}
	return &driftv1.SetTagsResponse{}, s.state.SetTags(ctx, tenant, all, maxTags, s.now())
}

// ListTags lists the tags of a thing.
func (s *tags) ListTags(ctx context.Context, req *driftv1.ListTagsRequest) (*driftv1.ListTagsResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.state.Tags(ctx, tenant, req.GetEntityType(), req.GetEntityId())
	resp := &driftv1.ListTagsResponse{}
	for _, t := range found {
		resp.Tags = append(resp.Tags, &driftv1.Tag{EntityType: t.EntityType, EntityId: t.EntityID, Key: t.Key, Value: t.Value})
	}
	return resp, err
}

// FindTagged gives the things that have tags.
func (s *tags) FindTagged(ctx context.Context, req *driftv1.FindTaggedRequest) (*driftv1.FindTaggedResponse, error) {
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	var asked []store.Tag
	for _, t := range req.GetTags() {
		if one := (store.Tag{Key: t.GetKey(), Value: t.GetValue()}); !slices.Contains(asked, one) {
			asked = append(asked, one)
		}
	}
	if len(asked) == 0 || len(asked) > maxTagsAsked {
		return nil, fault.Invalid.New("tags: want 1 to %d", maxTagsAsked).WithReason("FIELD_INVALID")
	}
	atLeast := 1
	if req.GetMatchAll() {
		atLeast = len(asked)
	}
	ids, err := s.state.Tagged(ctx, tenant, req.GetEntityType(), asked, atLeast, maxTagged+1)
	if err != nil {
		return nil, err
	}
	return &driftv1.FindTaggedResponse{EntityIds: ids[:min(len(ids), maxTagged)], Truncated: len(ids) > maxTagged}, nil
}
