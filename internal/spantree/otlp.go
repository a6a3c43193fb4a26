package spantree

import (
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Of gives the spans of data in the order in which they stand there, to be
// built into a tree whose nodes have the same order.
func Of(data *tracepb.TracesData) []Span {
	var out []Span
	for _, rs := range data.GetResourceSpans() {
		service := ServiceName(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				span := Span{
					Service: service, Kind: int32(s.GetKind()), Start: s.GetStartTimeUnixNano(), End: s.GetEndTimeUnixNano(),
				}
				copy(span.ID[:], s.GetSpanId())
				copy(span.Parent[:], s.GetParentSpanId())
				out = append(out, span)
			}
		}
	}
	return out
}

// MissingService is what spans without service.name are listed and found under,
// as in Jaeger.
const MissingService = "missing-service-name"

// ServiceName is the service.name among the attributes of a resource, "" when
// there is none.
func ServiceName(attributes []*commonpb.KeyValue) string {
	for _, kv := range attributes {
		if kv.GetKey() == "service.name" {
			return kv.GetValue().GetStringValue()
		}
	}
	return ""
}
