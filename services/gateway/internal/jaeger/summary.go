package jaeger

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// summary is a trace in one line, as Jaeger's api_v3 has it.
type summary struct {
	TraceID           string           `json:"traceId"`
	RootServiceName   string           `json:"rootServiceName,omitempty"`
	RootOperationName string           `json:"rootOperationName,omitempty"`
	MinStart          string           `json:"minStartTimeUnixNano"`
	MaxEnd            string           `json:"maxEndTimeUnixNano"`
	SpanCount         int              `json:"spanCount"`
	ErrorSpanCount    int              `json:"errorSpanCount"`
	Services          []serviceSummary `json:"services"`

	start, end uint64
	rootStart  uint64
	rootFound  bool
	byService  map[string]*serviceSummary
}

type serviceSummary struct {
	Name           string `json:"name"`
	SpanCount      int    `json:"spanCount"`
	ErrorSpanCount int    `json:"errorSpanCount"`
}

func newSummary(traceID string) *summary {
	return &summary{TraceID: traceID, byService: map[string]*serviceSummary{}}
}

func (s *summary) add(p part) error {
	var data tracepb.TracesData
	if err := proto.Unmarshal(p.otlp, &data); err != nil {
		return fmt.Errorf("decode trace: %w", err)
	}
	for _, rs := range data.GetResourceSpans() {
		service := processOf(rs.GetResource()).ServiceName
		for _, ss := range rs.GetScopeSpans() {
			for _, span := range ss.GetSpans() {
				s.count(service, span)
			}
		}
	}
	return nil
}

func (s *summary) count(service string, span *tracepb.Span) {
	of := s.byService[service]
	if of == nil {
		of = &serviceSummary{Name: service}
		s.byService[service] = of
	}
	of.SpanCount++
	if span.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		of.ErrorSpanCount++
		s.ErrorSpanCount++
	}
	start, end := span.GetStartTimeUnixNano(), span.GetEndTimeUnixNano()
	if s.SpanCount == 0 || start < s.start {
		s.start = start
	}
	s.end = max(s.end, end)
	s.SpanCount++
	// The root is the earliest span without a parent; without any, there is
	// none to name.
	if zero(span.GetParentSpanId()) && (!s.rootFound || start < s.rootStart) {
		s.rootFound, s.rootStart = true, start
		s.RootServiceName, s.RootOperationName = service, span.GetName()
	}
}

// finished fills in what is known only at the end. It never returns nil.
func finished(list []*summary) []*summary {
	for _, s := range list {
		s.MinStart, s.MaxEnd = strconv.FormatUint(s.start, 10), strconv.FormatUint(s.end, 10)
		s.Services = make([]serviceSummary, 0, len(s.byService))
		for _, of := range s.byService {
			s.Services = append(s.Services, *of)
		}
		slices.SortFunc(s.Services, func(a, b serviceSummary) int { return strings.Compare(a.Name, b.Name) })
	}
	if list == nil {
		return []*summary{}
	}
	return list
}
