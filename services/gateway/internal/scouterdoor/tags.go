package scouterdoor

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// ofTrace is the type of entities whose tags spans carry, besides those that came by
// themselves.
const ofTrace = "trace"

// setTags keeps tags, in the name of whoever is in the context.
func (d *Door) setTags(ctx context.Context, tags []scouter.Tag) error {
	req := &driftv1.SetTagsRequest{}
	for _, t := range tags {
		if t.EntityType == ofTrace {
			t.EntityID = strings.ToLower(t.EntityID)
		}
		req.Tags = append(req.Tags, &driftv1.Tag{EntityType: t.EntityType, EntityId: t.EntityID, Key: t.Key, Value: t.Value})
	}
	_, err := d.Tags.SetTags(ctx, req)
	return err
}

func (d *Door) addTags(r *http.Request) (any, error) {
	req, err := asked[struct{ Tags []scouter.Tag }](r)
	if err != nil {
		return nil, err
	}
	if err := d.setTags(r.Context(), req.Tags); err != nil {
		return nil, err
	}
	return done("Tags inserted"), nil
}

// tags are those of a thing. Those that came by themselves go before those that spans
// carry.
func (d *Door) tags(r *http.Request) (any, error) {
	q := r.URL.Query()
	kind, id := q.Get("entity_type"), q.Get("entity_id")
	all := []scouter.Tag{}
	if kind == ofTrace {
		t, err := d.trace(asCaller(r.Context(), r), id)
		if err != nil {
			return nil, err
		}
		id, all = strings.ToLower(id), t.Tags
	}
	kept, err := d.Tags.ListTags(r.Context(), &driftv1.ListTagsRequest{EntityType: kind, EntityId: id})
	for _, t := range kept.GetTags() {
		all = slices.DeleteFunc(all, func(o scouter.Tag) bool { return o.Key == t.GetKey() })
		all = append(all, scouter.Tag{EntityType: kind, EntityID: t.GetEntityId(), Key: t.GetKey(), Value: t.GetValue()})
	}
	return map[string]any{"tags": all}, err
}

// tagQuestion asks for what has tags.
type tagQuestion struct {
	EntityType string        `json:"entity_type"`
	Tags       []scouter.Tag `json:"tags"`
	Filters    []scouter.Tag `json:"tag_filters"`
	MatchAll   bool          `json:"match_all"`
	Service    string        `json:"service_name"`
}

func (d *Door) entities(r *http.Request) (any, error) {
	req, err := asked[tagQuestion](r)
	if err != nil {
		return nil, err
	}
	ids, err := d.findTagged(r, req.EntityType, req.Tags, req.MatchAll)
	return map[string]any{"entity_id": ids}, err
}

// maxEntities are the entities whose spans are looked for at a time.
const maxEntities = 16

// taggedSpans are the spans of traces with tags, or of the traces of other things with
// tags.
func (d *Door) taggedSpans(r *http.Request) (any, error) {
	req, err := asked[tagQuestion](r)
	if err != nil {
		return nil, err
	}
	ids, err := d.findTagged(r, req.EntityType, req.Filters, req.MatchAll)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return map[string]any{"spans": []scouter.Span{}}, nil
	}
	f := &filters{TraceIDs: ids[:min(len(ids), mostTraces-1)], Limit: mostTraces - 1, onlyOf: req.Service}
	if req.EntityType != ofTrace {
		if len(ids) > maxEntities {
			return nil, fault.Invalid.New("%d entities have the tags: spans are found of %d at most", len(ids), maxEntities).WithReason("TOO_MANY_ENTITIES")
		}
		f.TraceIDs, f.anyEntity = nil, ids
	}
	return d.spansOf(asCaller(r.Context(), r), f)
}

// findTagged are the ids of what has one of the tags, or all. Of traces with tags on
// their spans the newest are found.
func (d *Door) findTagged(r *http.Request, kind string, tags []scouter.Tag, all bool) ([]string, error) {
	count, seen := map[string]int{}, []scouter.Tag{}
	for _, t := range tags {
		t.EntityType, t.EntityID = "", ""
		if slices.Contains(seen, t) {
			continue
		}
		seen = append(seen, t)
		has := map[string]bool{}
		found, err := d.Tags.FindTagged(r.Context(), &driftv1.FindTaggedRequest{EntityType: kind, Tags: []*driftv1.Tag{{Key: t.Key, Value: t.Value}}})
		if err != nil {
			return nil, err
		}
		for _, id := range found.GetEntityIds() {
			has[id] = true
		}
		if kind == ofTrace {
			if err := d.carrying(r, t, has); err != nil {
				return nil, err
			}
		}
		for id := range has {
			count[id]++
		}
	}
	if len(seen) == 0 {
		return nil, fault.Invalid.New("tags: want at least one key and value").WithReason("FIELD_INVALID")
	}
	ids := []string{}
	for id, n := range count {
		if n == len(seen) || !all {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// carrying adds the newest traces whose spans carry a tag.
func (d *Door) carrying(r *http.Request, t scouter.Tag, to map[string]bool) error {
	q := &tracev1.TraceQuery{EndTime: timestamppb.New(d.Now())}
	for _, key := range scouter.TagNames(t.Key) {
		q.AnyAttribute = append(q.AnyAttribute, &tracev1.AttributeFilter{Key: key, Value: t.Value})
	}
	found, err := d.Traces.SearchTraces(asCaller(r.Context(), r), &tracev1.SearchTracesRequest{Query: q, PageSize: mostTraces})
	for _, s := range found.GetTraces() {
		to[s.GetTraceId()] = true
	}
	return err
}
