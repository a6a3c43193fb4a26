package evaluate

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/spantree"
)

// Status is that of a span.
type Status string

// The statuses.
const (
	Unset Status = "unset"
	OK    Status = "ok"
	Error Status = "error"
)

// Span is one of a trace.
type Span struct {
	Name, Service string
	Status        Status
	Start, End    time.Time
	// Attributes are its own, as JSON values.
	Attributes []Attribute
	Depth      int
}

// Attribute is one of a span.
type Attribute struct {
	Key   string
	Value any
}

func (s *Span) attribute(key string) (any, bool) {
	i := slices.IndexFunc(s.Attributes, func(a Attribute) bool { return a.Key == key })
	if i < 0 {
		return nil, false
	}
	return s.Attributes[i].Value, true
}

// milliseconds is how long it took, of whole ones.
func (s *Span) milliseconds() int64 { return max(s.End.Sub(s.Start).Milliseconds(), 0) }

// Trace is the spans of a trace in the order of their tree: parents before their
// children, and those by their start.
type Trace struct {
	Spans []Span
	// Whole: there is a root, and every span's parent.
	Whole bool
	// End is when the last span ended.
	End time.Time
}

// statuses by their number in OTLP.
var statuses = map[tracepb.Status_StatusCode]Status{
	tracepb.Status_STATUS_CODE_OK: OK, tracepb.Status_STATUS_CODE_ERROR: Error,
}

// TraceOf puts spans in their order.
func TraceOf(data *tracepb.TracesData) *Trace {
	var flat []Span
	for _, rs := range data.GetResourceSpans() {
		service := spantree.ServiceName(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				flat = append(flat, spanOf(service, s))
			}
		}
	}
	spans := spantree.Of(data)
	tree := spantree.Build(spans)
	t := &Trace{Spans: make([]Span, 0, len(flat))}
	root := false
	t.Whole = true
	tree.Walk(func(i, depth int) {
		flat[i].Depth = depth
		t.Spans = append(t.Spans, flat[i])
		if flat[i].End.After(t.End) {
			t.End = flat[i].End
		}
		if depth == 0 {
			root = root || spans[i].Parent == spantree.ID{}
			t.Whole = t.Whole && spans[i].Parent == spantree.ID{}
		}
	})
	t.Whole = t.Whole && root
	return t
}

func spanOf(service string, s *tracepb.Span) Span {
	out := Span{
		Name: s.GetName(), Service: service, Status: Unset, Start: nanos(s.GetStartTimeUnixNano()), End: nanos(s.GetEndTimeUnixNano()),
	}
	if status, ok := statuses[s.GetStatus().GetCode()]; ok {
		out.Status = status
	}
	for _, a := range s.GetAttributes() {
		out.Attributes = append(out.Attributes, Attribute{a.GetKey(), valueOf(a.GetValue())})
	}
	return out
}

func nanos(n uint64) time.Time { return time.Unix(0, int64(n)) } //nolint:gosec // as far as times go

// valueOf is an attribute's value as JSON.
func valueOf(v *commonpb.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_IntValue:
		return json.Number(strconv.FormatInt(v.IntValue, 10))
	case *commonpb.AnyValue_DoubleValue:
		return num(v.DoubleValue)
	case *commonpb.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(v.BytesValue)
	case *commonpb.AnyValue_ArrayValue:
		list := make([]any, len(v.ArrayValue.GetValues()))
		for i, item := range v.ArrayValue.GetValues() {
			list[i] = valueOf(item)
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		members := make(map[string]any, len(v.KvlistValue.GetValues()))
		for _, kv := range v.KvlistValue.GetValues() {
			members[kv.GetKey()] = valueOf(kv.GetValue())
		}
		return members
	}
	return nil
}
