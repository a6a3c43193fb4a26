package tail

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// maxAttributes bounds the attributes of one filter.
const maxAttributes = 32

// filter is a TailRequest, checked.
type filter struct {
	signal     ingestv1.Signal
	profile    string
	service    string
	spanName   string
	traceID    []byte
	traceHex   string
	attributes map[string]string
	of         func(profile string) bool // whether records of a profile may be seen; nil is all
}

func newFilter(req *ingestv1.TailRequest) (*filter, error) {
	f := &filter{
		signal: req.GetSignal(), profile: req.GetProfile(), service: req.GetService(),
		spanName: req.GetSpanName(), attributes: req.GetAttributes(),
	}
	switch f.signal {
	case ingestv1.Signal_SIGNAL_SPANS:
	case ingestv1.Signal_SIGNAL_RECORDS:
		if len(f.attributes) > 0 {
			return nil, invalid("attributes", "records have none")
		}
	default:
		return nil, invalid("signal", "must be SIGNAL_SPANS or SIGNAL_RECORDS")
	}
	if len(f.attributes) > maxAttributes {
		return nil, invalid("attributes", "has %d entries, at most %d are allowed", len(f.attributes), maxAttributes)
	}
	if s := req.GetTraceId(); s != "" {
		id, err := hex.DecodeString(s)
		if err != nil || len(id) != 16 {
			return nil, invalid("trace_id", "must be 32 hex digits")
		}
		f.traceID, f.traceHex = id, hex.EncodeToString(id)
	}
	return f, nil
}

func invalid(field, format string, args ...any) error {
	return fault.Invalid.New("%s: %s", field, fmt.Sprintf(format, args...)).WithReason("BAD_FILTER")
}

// records gives the matching records of a message, one answer each.
func (f *filter) records(value []byte) ([]*ingestv1.TailResponse, error) {
	var batch eventv1.RecordBatch
	if err := proto.Unmarshal(value, &batch); err != nil {
		return nil, fmt.Errorf("decode records: %w", err)
	}
	var out []*ingestv1.TailResponse
	for _, r := range batch.GetRecords() {
		if f.profile != "" && r.GetProfile() != f.profile {
			continue
		}
		if f.of != nil && !f.of(r.GetProfile()) {
			continue
		}
		if f.traceHex != "" && !hasTrace(r.GetTraceparent(), f.traceHex) {
			continue
		}
		out = append(out, &ingestv1.TailResponse{Item: &ingestv1.TailResponse_Record{Record: r}})
	}
	return out, nil
}

// hasTrace looks at the second part of a traceparent that the door has checked.
func hasTrace(parent, id string) bool { return len(parent) >= 35 && parent[3:35] == id }

// spans gives the matching spans of a message as one answer, or none.
func (f *filter) spans(value []byte) ([]*ingestv1.TailResponse, error) {
	if f.service == "" && f.spanName == "" && f.traceID == nil && len(f.attributes) == 0 {
		return spansAnswer(value), nil
	}
	var data tracepb.TracesData
	if err := proto.Unmarshal(value, &data); err != nil {
		return nil, fmt.Errorf("decode spans: %w", err)
	}
	kept := data.ResourceSpans[:0]
	for _, rs := range data.GetResourceSpans() {
		if f.keep(rs) {
			kept = append(kept, rs)
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	data.ResourceSpans = kept
	raw, err := proto.Marshal(&data)
	if err != nil {
		return nil, fmt.Errorf("encode spans: %w", err)
	}
	return spansAnswer(raw), nil
}

func spansAnswer(raw []byte) []*ingestv1.TailResponse {
	return []*ingestv1.TailResponse{{Item: &ingestv1.TailResponse_OtlpTraces{OtlpTraces: raw}}}
}

// keep removes what does not match and reports whether anything is left.
func (f *filter) keep(rs *tracepb.ResourceSpans) bool {
	resource := rs.GetResource().GetAttributes()
	if f.service != "" && !matches(resource, "service.name", f.service) {
		return false
	}
	scopes := rs.ScopeSpans[:0]
	for _, ss := range rs.GetScopeSpans() {
		spans := ss.Spans[:0]
		for _, s := range ss.GetSpans() {
			if f.span(s, resource) {
				spans = append(spans, s)
			}
		}
		if ss.Spans = spans; len(spans) > 0 {
			scopes = append(scopes, ss)
		}
	}
	rs.ScopeSpans = scopes
	return len(scopes) > 0
}

func (f *filter) span(s *tracepb.Span, resource []*commonpb.KeyValue) bool {
	if f.spanName != "" && s.GetName() != f.spanName {
		return false
	}
	if f.traceID != nil && !bytes.Equal(s.GetTraceId(), f.traceID) {
		return false
	}
	for key, want := range f.attributes {
		if !matches(s.GetAttributes(), key, want) && !matches(resource, key, want) {
			return false
		}
	}
	return true
}

func matches(attrs []*commonpb.KeyValue, key, want string) bool {
	for _, kv := range attrs {
		if kv.GetKey() == key && text(kv.GetValue()) == want {
			return true
		}
	}
	return false
}

// text is a scalar value as people write it; lists and maps have none.
func text(v *commonpb.AnyValue) string {
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return x.StringValue
	case *commonpb.AnyValue_BoolValue:
		return strconv.FormatBool(x.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return strconv.FormatInt(x.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		if x.DoubleValue == math.Trunc(x.DoubleValue) && math.Abs(x.DoubleValue) < 1e15 {
			return strconv.FormatFloat(x.DoubleValue, 'f', -1, 64)
		}
		return strconv.FormatFloat(x.DoubleValue, 'g', -1, 64)
	}
	return ""
}
