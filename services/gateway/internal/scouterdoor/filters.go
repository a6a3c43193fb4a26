package scouterdoor

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// filters say which traces are wanted.
type filters struct {
	Service     string     `json:"service_name"`
	HasErrors   *bool      `json:"has_errors"`
	Status      *int32     `json:"status_code"`
	Start       *time.Time `json:"start_time"`
	End         *time.Time `json:"end_time"`
	Limit       int        `json:"limit"`
	CursorStart *time.Time `json:"cursor_start_time"`
	CursorID    string     `json:"cursor_trace_id"`
	Direction   string     `json:"direction"`
	Attributes  []string   `json:"attribute_filters"`
	TraceIDs    []string   `json:"trace_ids"`
	EntityUID   string     `json:"entity_uid"`
	QueueUID    string     `json:"queue_uid"`

	wanted    []scouter.Attribute // Attributes, once query has read them
	anyEntity []string            // one of these profiles or queue records
	onlyOf    string              // the service whose spans are wanted alone
}

const (
	usualTraces = 50
	// mostTraces are found at a time.
	mostTraces = 1500
	// mostAttributes are asked for at a time: each stands for four.
	mostAttributes = 8
)

func (f *filters) limit() int {
	if f.Limit <= 0 {
		return usualTraces
	}
	return min(f.Limit, mostTraces-1)
}

// back says that the page before the cursor is wanted.
func (f *filters) back() bool { return f.Direction == "previous" && f.CursorStart != nil }

// after is where the page begins, nil at the beginning.
func (f *filters) after() *tracev1.TracePlace {
	if f.CursorStart == nil {
		return nil
	}
	id, rest, _ := strings.Cut(f.CursorID, restMark)
	nanos, _ := strconv.ParseUint(rest, 10, 16)                                                                  // without one it is 0
	return &tracev1.TracePlace{MatchTime: timestamppb.New(f.CursorStart.Add(time.Duration(nanos))), TraceId: id} //nolint:gosec // of 16 bits
}

// restMark parts a trace id from the nanoseconds beyond the microsecond: Python, in
// which cursors are carried back, knows none.
const restMark = "+"

// cursorOf is a place as the client carries it back.
func cursorOf(p *tracev1.TracePlace) *traceCursor {
	at, id := p.GetMatchTime().AsTime(), p.GetTraceId()
	if rest := at.Nanosecond() % int(time.Microsecond); rest > 0 {
		id += restMark + strconv.Itoa(rest)
	}
	return &traceCursor{at.Truncate(time.Microsecond), id}
}

type traceCursor struct {
	Start   time.Time `json:"start_time"`
	TraceID string    `json:"trace_id"`
}

// query is what is asked of the store: of one span, so that what may be true of
// several is looked at behind.
func (f *filters) query() (*tracev1.TraceQuery, error) {
	q := &tracev1.TraceQuery{Attributes: map[string]string{}, TraceIds: f.TraceIDs}
	if f.Start != nil {
		q.StartTime = timestamppb.New(*f.Start)
	}
	if f.End != nil {
		q.EndTime = timestamppb.New(*f.End)
	}
	var err error
	if f.wanted, err = f.attributes(); err != nil {
		return nil, err
	}
	if f.EntityUID != "" {
		q.Attributes[scouter.EntityAttribute] = f.EntityUID
	}
	if f.QueueUID != "" {
		q.Attributes[scouter.QueueAttribute] = f.QueueUID
	}
	for _, uid := range f.anyEntity {
		q.AnyAttribute = append(q.AnyAttribute, &tracev1.AttributeFilter{Key: scouter.EntityAttribute, Value: uid}, &tracev1.AttributeFilter{Key: scouter.QueueAttribute, Value: uid})
	}
	switch {
	case len(q.GetAttributes()) > 0 || len(q.GetAnyAttribute()) > 0:
	case len(f.wanted) > 0:
		q.AnyAttribute = namesOf(f.wanted)
	case f.Service != "":
		q.Service = f.Service
	case f.HasErrors != nil && *f.HasErrors:
		q.Attributes["error"] = "true"
	}
	return q, nil
}

// attributes reads the filters, key:value or key=value. What a colon and two slashes
// follow is a URL.
func (f *filters) attributes() (all []scouter.Attribute, err error) {
	if len(f.Attributes) > mostAttributes {
		return nil, fault.Invalid.New("attribute_filters: at most %d", mostAttributes).WithReason("FIELD_INVALID")
	}
	for _, text := range f.Attributes {
		key, value, ok := strings.Cut(text, ":")
		if !ok || strings.HasPrefix(value, "//") {
			key, value, ok = strings.Cut(text, "=")
		}
		if !ok || key == "" {
			return nil, fault.Invalid.New("attribute_filters: want key:value, not %.80q", text).WithReason("FIELD_INVALID")
		}
		all = append(all, scouter.Attribute{Key: key, Value: value})
	}
	return all, nil
}

// namesOf are the attributes under all names that spans have them by.
func namesOf(all []scouter.Attribute) (either []*tracev1.AttributeFilter) {
	for _, a := range all {
		value, _ := a.Value.(string)
		for _, key := range scouter.AttributeNames(a.Key) {
			either = append(either, &tracev1.AttributeFilter{Key: key, Value: value})
		}
	}
	return either
}

// wants looks at what the store was not asked.
func (f *filters) wants(t *scouter.Trace) bool {
	if f.HasErrors != nil && t.Line.HasErrors != *f.HasErrors || f.Status != nil && t.Line.Status != *f.Status {
		return false
	}
	if f.Service != "" && !slices.ContainsFunc(t.Spans, func(s scouter.Span) bool { return s.Service == f.Service }) {
		return false
	}
	return len(f.wanted) == 0 || slices.ContainsFunc(f.wanted, t.Has)
}
