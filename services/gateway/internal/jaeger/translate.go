package jaeger

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/plain"
	"github.com/driftmesh/driftmesh/internal/spantree"
)

const (
	serviceName = "service.name"
	// warningsAttribute carries Jaeger's own warnings through OTLP.
	warningsAttribute = "@jaeger@warnings"
	sampledFlag       = 1
)

// key returns the process id of a resource, a new one for a new process.
func (t *processTable) key(r *resourcepb.Resource) (string, error) {
	raw, err := json.Marshal(processOf(r))
	if err != nil {
		return "", fmt.Errorf("encode process: %w", err)
	}
	if k, ok := t.keys[string(raw)]; ok {
		return k, nil
	}
	t.list = append(t.list, raw)
	k := "p" + strconv.Itoa(len(t.list))
	t.keys[string(raw)] = k
	return k, nil
}

func processOf(r *resourcepb.Resource) jsonProcess {
	p := jsonProcess{ServiceName: spantree.MissingService, Tags: []jsonTag{}}
	for _, kv := range r.GetAttributes() {
		if kv.GetKey() == serviceName {
			if name := plain.Text(kv.GetValue()); name != "" {
				p.ServiceName = name
			}
			continue
		}
		p.Tags = append(p.Tags, tagOf(kv))
	}
	return p
}

// spanOf translates one span, without its process, at its place in the tree:
// of spans that share an id, all but one get another there.
func spanOf(s *tracepb.Span, scope *commonpb.InstrumentationScope, at *spantree.Node) jsonSpan {
	js := jsonSpan{
		TraceID:       traceText(s.GetTraceId()),
		SpanID:        hex.EncodeToString(at.ID[:]),
		Flags:         s.GetFlags() & sampledFlag,
		OperationName: s.GetName(),
		References:    referencesOf(s, at.ParentID),
		StartTime:     s.GetStartTimeUnixNano() / 1000,
		Tags:          spanTags(s, scope),
		Logs:          logsOf(s.GetEvents()),
	}
	if s.GetEndTimeUnixNano() > s.GetStartTimeUnixNano() {
		js.Duration = (s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()) / 1000
	}
	js.Tags, js.Warnings = takeWarnings(js.Tags, s.GetAttributes())
	for _, odd := range at.Oddities {
		js.Warnings = append(js.Warnings, odd.String())
	}
	return js
}

func spanTags(s *tracepb.Span, scope *commonpb.InstrumentationScope) []jsonTag {
	tags := make([]jsonTag, 0, len(s.GetAttributes())+6)
	if scope.GetName() != "" {
		tags = append(tags, textTag("otel.scope.name", scope.GetName()))
	}
	if scope.GetVersion() != "" {
		tags = append(tags, textTag("otel.scope.version", scope.GetVersion()))
	}
	tags = appendTags(tags, s.GetAttributes())
	if kind := plain.Kind(s.GetKind()); kind != "" {
		tags = append(tags, textTag("span.kind", kind))
	}
	switch s.GetStatus().GetCode() {
	case tracepb.Status_STATUS_CODE_ERROR:
		tags = append(tags, textTag("otel.status_code", "ERROR"), jsonTag{Key: "error", Type: typeBool, Value: true})
	case tracepb.Status_STATUS_CODE_OK:
		tags = append(tags, textTag("otel.status_code", "OK"))
	default: // unset says nothing
	}
	if msg := s.GetStatus().GetMessage(); msg != "" {
		tags = append(tags, textTag("otel.status_description", msg))
	}
	if ts := s.GetTraceState(); ts != "" {
		tags = append(tags, textTag("w3c.tracestate", ts))
	}
	return tags
}

// takeWarnings moves Jaeger's warnings, if there are any, out of the tags, and
// says what the mesh has marked as one: those stay, as one can search for them.
func takeWarnings(tags []jsonTag, attrs []*commonpb.KeyValue) ([]jsonTag, []string) {
	var warnings []string
	for _, kv := range attrs {
		if strings.HasPrefix(kv.GetKey(), otlp.MarkPrefix) {
			warnings = append(warnings, plain.Text(kv.GetValue()))
		}
		if kv.GetKey() != warningsAttribute {
			continue
		}
		list := kv.GetValue().GetArrayValue()
		if list == nil {
			warnings = append(warnings, plain.Text(kv.GetValue()))
		}
		for _, v := range list.GetValues() {
			warnings = append(warnings, plain.Text(v))
		}
	}
	if warnings == nil {
		return tags, nil
	}
	kept := tags[:0]
	for _, t := range tags {
		if t.Key != warningsAttribute {
			kept = append(kept, t)
		}
	}
	return kept, warnings
}

// referencesOf lists the parent first, then the links. A link to the parent
// decides the parent's type instead of naming it twice.
func referencesOf(s *tracepb.Span, parentID spantree.ID) []jsonReference {
	refs := make([]jsonReference, 0, len(s.GetLinks())+1)
	trace, parent := traceText(s.GetTraceId()), hex.EncodeToString(parentID[:])
	hasParent := parentID != spantree.ID{}
	if hasParent {
		refs = append(refs, jsonReference{RefType: childOf, TraceID: trace, SpanID: parent})
	}
	for _, l := range s.GetLinks() {
		ref := jsonReference{
			RefType: linkType(l), TraceID: traceText(l.GetTraceId()), SpanID: spanText(l.GetSpanId()),
		}
		if hasParent && ref.TraceID == trace && ref.SpanID == parent {
			refs[0].RefType = ref.RefType
			continue
		}
		refs = append(refs, ref)
	}
	return refs
}

func linkType(l *tracepb.Span_Link) string {
	for _, kv := range l.GetAttributes() {
		if kv.GetKey() == "opentracing.ref_type" && kv.GetValue().GetStringValue() == "child_of" {
			return childOf
		}
	}
	return followsFrom
}

func logsOf(events []*tracepb.Span_Event) []jsonLog {
	logs := make([]jsonLog, 0, len(events))
	for _, e := range events {
		fields := make([]jsonTag, 0, len(e.GetAttributes())+1)
		if e.GetName() != "" && !has(e.GetAttributes(), "event") {
			fields = append(fields, textTag("event", e.GetName()))
		}
		logs = append(logs, jsonLog{
			Timestamp: e.GetTimeUnixNano() / 1000,
			Fields:    appendTags(fields, e.GetAttributes()),
		})
	}
	return logs
}

func has(attrs []*commonpb.KeyValue, key string) bool {
	for _, kv := range attrs {
		if kv.GetKey() == key {
			return true
		}
	}
	return false
}

// traceText writes an id as Jaeger does: 16 digits when the upper half is zero.
func traceText(id []byte) string {
	if len(id) == 16 && otlp.Zero(id[:8]) {
		return hex.EncodeToString(id[8:])
	}
	return hex.EncodeToString(id)
}

func spanText(id []byte) string {
	var b [8]byte
	copy(b[max(0, 8-len(id)):], id)
	return hex.EncodeToString(b[:])
}
