package scouter

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/plain"
	"github.com/driftmesh/driftmesh/internal/spantree"
)

// Names of attributes with a meaning.
const (
	inputAttribute  = "scouter.tracing.input"
	outputAttribute = "scouter.tracing.output"
	tagPrefix       = "scouter.tracing.tag."
	baggagePrefix   = "baggage."
	entityPrefix    = "scouter.entity"
	// QueueAttribute and EntityAttribute lead from a span to a queue's record and to
	// the profile of it.
	QueueAttribute  = "scouter.queue.record"
	EntityAttribute = entityPrefix
)

// TagNames are the names of the attributes that a tag of a span may come as.
func TagNames(key string) []string { return []string{tagPrefix + key, baggagePrefix + tagPrefix + key} }

// AttributeNames are the names by which a span may have what its clients read as an
// attribute of this name.
func AttributeNames(key string) []string { return append(TagNames(key), key, baggagePrefix+key) }

// Attribute is a key and any JSON.
type Attribute struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

// Course is when something ran, and how it ended.
type Course struct {
	Start      time.Time `json:"start_time"`
	End        time.Time `json:"end_time"`
	DurationMS int64     `json:"duration_ms"`
	Status     int32     `json:"status_code"`
	StatusText string    `json:"status_message"`
}

// courseOf is that of what ran in nanoseconds since 1970, in whole milliseconds; one
// that ends before it starts took none.
func courseOf(start, end uint64, status *tracepb.Status) Course {
	took := max(end, start) - start
	return Course{nanos(start), nanos(end), int64(took / uint64(time.Millisecond)), int32(status.GetCode()), status.GetMessage()} //nolint:gosec // of 64 bits, divided
}

// Span is a span as Scouter's clients read it. Its keys are all required.
type Span struct {
	TraceID string  `json:"trace_id"`
	SpanID  string  `json:"span_id"`
	Parent  *string `json:"parent_span_id"`
	Name    string  `json:"span_name"`
	Kind    string  `json:"span_kind"`
	Course
	Attributes []Attribute `json:"attributes"`
	Events     []SpanEvent `json:"events"`
	Links      []SpanLink  `json:"links"`
	Depth      int         `json:"depth"`
	Path       []string    `json:"path"`
	Root       string      `json:"root_span_id"`
	Service    string      `json:"service_name"`
	Order      int         `json:"span_order"`
	Input      any         `json:"input"`
	Output     any         `json:"output"`
}

// SpanEvent is an event of a span.
type SpanEvent struct {
	Time       time.Time   `json:"timestamp"`
	Name       string      `json:"name"`
	Attributes []Attribute `json:"attributes"`
	Dropped    uint32      `json:"dropped_attributes_count"`
}

// SpanLink is a link of a span.
type SpanLink struct {
	TraceID    string      `json:"trace_id"`
	SpanID     string      `json:"span_id"`
	State      string      `json:"trace_state"`
	Attributes []Attribute `json:"attributes"`
	Dropped    uint32      `json:"dropped_attributes_count"`
}

// Baggage is a word that travelled with a trace.
type Baggage struct {
	CreatedAt time.Time `json:"created_at"`
	TraceID   string    `json:"trace_id"`
	Scope     string    `json:"scope"`
	Key       string    `json:"key"`
	Value     string    `json:"value"`
}

// Trace is a trace as Scouter's clients read it: in one line, and whole.
type Trace struct {
	Line    TraceLine
	Spans   []Span
	Tags    []Tag
	Baggage []Baggage
}

// Has reports whether a span of it has an attribute, whose value is compared as text.
func (t *Trace) Has(want Attribute) bool {
	same := func(a Attribute) bool { return a.Key == want.Key && textOf(a.Value) == textOf(want.Value) }
	return slices.ContainsFunc(t.Spans, func(s Span) bool { return slices.ContainsFunc(s.Attributes, same) }) || slices.ContainsFunc(t.Line.Resource, same)
}

func textOf(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	raw, _ := json.Marshal(v) // it came from JSON's own types
	return string(raw)
}

// TraceLine is a trace in one line. Its keys are all required.
type TraceLine struct {
	TraceID   string `json:"trace_id"`
	Service   string `json:"service_name"`
	Scope     string `json:"scope_name"`
	Version   string `json:"scope_version"`
	Operation string `json:"root_operation"`
	Course
	Spans     int         `json:"span_count"`
	HasErrors bool        `json:"has_errors"`
	Errors    int         `json:"error_count"`
	Resource  []Attribute `json:"resource_attributes"`
	Entities  []string    `json:"entity_ids"`
	Queues    []string    `json:"queue_ids"`
}

// unknown stands for names that are empty.
const unknown = "unknown"

// one is a span with what it is in.
type one struct {
	resource *tracepb.ResourceSpans
	scope    *tracepb.ScopeSpans
	span     *tracepb.Span
}

// TraceOf is the answer about the spans of one trace; they are in the order of their
// tree, and what has no parent among them is a root.
func TraceOf(data *tracepb.TracesData) Trace {
	var all []one
	for _, r := range data.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				all = append(all, one{r, s, span})
			}
		}
	}
	t := Trace{Spans: []Span{}, Tags: []Tag{}, Baggage: []Baggage{}}
	if len(all) == 0 {
		return t
	}
	tree := spantree.Build(spantree.Of(data))
	paths := make([][]string, len(all))
	tree.Walk(func(i, depth int) {
		s := t.span(all[i])
		node := &tree.Nodes[i]
		if node.Parent >= 0 {
			paths[i] = append(slices.Clone(paths[node.Parent]), s.SpanID)
		} else {
			paths[i] = []string{s.SpanID}
		}
		s.Depth, s.Path, s.Root, s.Order = depth, paths[i], paths[i][0], len(t.Spans)
		t.Spans = append(t.Spans, s)
	})
	t.line(all, all[tree.Roots[0]])
	return t
}

// kindNames are those of OTLP's kinds.
var kindNames = []string{"UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"}

func nanos(n uint64) time.Time { return time.Unix(0, int64(n)).UTC() } //nolint:gosec // as it was stored

func orUnknown(name string) string { return cmp.Or(name, unknown) }

// span translates one, and takes its tags and baggage out of its attributes.
func (t *Trace) span(o one) Span {
	s := o.span
	out := Span{
		TraceID: hex.EncodeToString(s.GetTraceId()), SpanID: hex.EncodeToString(s.GetSpanId()), Name: s.GetName(), Kind: kindNames[0],
		Course: courseOf(s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano(), s.GetStatus()), Service: orUnknown(spantree.ServiceName(o.resource.GetResource().GetAttributes())),
		Attributes: []Attribute{}, Events: []SpanEvent{}, Links: []SpanLink{},
	}
	if k := int(s.GetKind()); k >= 0 && k < len(kindNames) {
		out.Kind = kindNames[k]
	}
	if len(s.GetParentSpanId()) > 0 {
		parent := hex.EncodeToString(s.GetParentSpanId())
		out.Parent = &parent
	}
	for _, kv := range s.GetAttributes() {
		t.attribute(&out, orUnknown(o.scope.GetScope().GetName()), kv)
	}
	for _, e := range s.GetEvents() {
		out.Events = append(out.Events, SpanEvent{nanos(e.GetTimeUnixNano()), e.GetName(), attributes(e.GetAttributes()), e.GetDroppedAttributesCount()})
	}
	for _, l := range s.GetLinks() {
		out.Links = append(out.Links, SpanLink{hex.EncodeToString(l.GetTraceId()), hex.EncodeToString(l.GetSpanId()), l.GetTraceState(),
			attributes(l.GetAttributes()), l.GetDroppedAttributesCount()})
	}
	return out
}

func (t *Trace) attribute(s *Span, scope string, kv *commonpb.KeyValue) {
	key, v := kv.GetKey(), plain.Value(kv.GetValue())
	bag, carried := strings.CutPrefix(key, baggagePrefix)
	if carried {
		t.Baggage = append(t.Baggage, Baggage{s.Start, s.TraceID, scope, bag, plain.Text(kv.GetValue())})
		key = bag
	}
	name, tagged := strings.CutPrefix(key, tagPrefix)
	switch {
	case tagged:
		t.Tags = append(t.Tags, Tag{"trace", s.TraceID, name, plain.Text(kv.GetValue())})
		key = name
	case carried:
		return // it is baggage alone
	case key == inputAttribute:
		s.Input = parsed(v)
	case key == outputAttribute:
		s.Output = parsed(v)
	}
	s.Attributes = append(s.Attributes, Attribute{key, v})
}

func attributes(all []*commonpb.KeyValue) []Attribute {
	out := make([]Attribute, 0, len(all))
	for _, kv := range all {
		out = append(out, Attribute{kv.GetKey(), plain.Value(kv.GetValue())})
	}
	return out
}

// parsed is a text that holds JSON as that, and any other as it is.
func parsed(v any) any {
	text, ok := v.(string)
	if !ok || !json.Valid([]byte(text)) {
		return v
	}
	return json.RawMessage(text)
}

func (t *Trace) line(all []one, root one) {
	start, end := root.span.GetStartTimeUnixNano(), root.span.GetEndTimeUnixNano()
	entities, queues := map[string]bool{}, map[string]bool{}
	l, status := &t.Line, root.span.GetStatus()
	for _, o := range all {
		s := o.span
		start, end = min(start, s.GetStartTimeUnixNano()), max(end, s.GetEndTimeUnixNano())
		if s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			if l.Errors++; status.GetCode() != tracepb.Status_STATUS_CODE_ERROR {
				status = s.GetStatus()
			}
		}
		collect(s.GetAttributes(), entities, queues)
		for _, e := range s.GetEvents() {
			collect(e.GetAttributes(), entities, queues)
		}
	}
	l.TraceID, l.Operation = hex.EncodeToString(root.span.GetTraceId()), root.span.GetName()
	l.Service = orUnknown(spantree.ServiceName(root.resource.GetResource().GetAttributes()))
	l.Scope, l.Version = orUnknown(root.scope.GetScope().GetName()), root.scope.GetScope().GetVersion()
	l.Course = courseOf(start, end, status)
	l.Spans, l.HasErrors = len(all), l.Errors > 0
	l.Resource = attributes(root.resource.GetResource().GetAttributes())
	l.Entities, l.Queues = sorted(entities), sorted(queues)
}

// uidLength is that of a UUID as text.
const uidLength = 36

func collect(all []*commonpb.KeyValue, entities, queues map[string]bool) {
	for _, kv := range all {
		uid := kv.GetValue().GetStringValue()
		if len(uid) != uidLength {
			continue
		}
		if kv.GetKey() == QueueAttribute {
			queues[uid] = true
		} else if kv.GetKey() == EntityAttribute || strings.HasPrefix(kv.GetKey(), EntityAttribute+".") {
			entities[uid] = true
		}
	}
}

func sorted(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for one := range set {
		out = append(out, one)
	}
	slices.Sort(out)
	return out
}
