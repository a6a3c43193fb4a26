package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/spantree"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
)

// showTree writes a trace for people: a paragraph a span, parents before
// children, with what is odd, and the records sent in it, by the hex id of the span.
func showTree(w io.Writer, data *tracepb.TracesData, sent map[string][]*recordv1.StoredRecord) error {
	var spans []*tracepb.Span
	for _, rs := range data.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			spans = append(spans, ss.GetSpans()...)
		}
	}
	nodes := spantree.Of(data)
	tree := spantree.Build(nodes)
	var b strings.Builder
	tree.Walk(func(i, depth int) {
		p := paragraph{b: &b, indent: strings.Repeat("  ", depth)}
		p.span(spans[i], nodes[i].Service)
		for _, o := range tree.Nodes[i].Oddities {
			p.line("warning", o.String())
		}
		for _, r := range sent[hex.EncodeToString(spans[i].GetSpanId())] {
			kind, values := recordBody(r.GetRecord())
			p.line("record", r.GetProfileName()+" "+r.GetRecord().GetId()+" "+kind+": "+short(values, 200))
		}
	})
	_, err := io.WriteString(w, b.String())
	return err
}

// paragraph writes what is to know of one span.
type paragraph struct {
	b      *strings.Builder
	indent string
}

func (p *paragraph) line(name, text string) {
	fmt.Fprintf(p.b, "%s    %s: %s\n", p.indent, printable(name), printable(text))
}

func (p *paragraph) span(s *tracepb.Span, service string) {
	start, end := s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano()
	kind := strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"))
	if service == "" {
		service = "missing-service-name"
	}
	fmt.Fprintf(p.b, "%s%s  %s %s  %s  %s  %s\n", p.indent, printable(s.GetName()), printable(service), kind,
		clock(start), time.Duration(end-start), hex.EncodeToString(s.GetSpanId())) //nolint:gosec // an end before the start is negative
	if status := s.GetStatus(); status.GetCode() != tracepb.Status_STATUS_CODE_UNSET {
		code := strings.ToLower(strings.TrimPrefix(status.GetCode().String(), "STATUS_CODE_"))
		p.line("status", strings.TrimSuffix(code+": "+status.GetMessage(), ": "))
	}
	p.attributes("", s.GetAttributes())
	for _, e := range s.GetEvents() {
		p.line("event", fmt.Sprintf("%s at +%s", e.GetName(), time.Duration(e.GetTimeUnixNano()-start))) //nolint:gosec // see above
		p.attributes("  ", e.GetAttributes())
	}
	for _, l := range s.GetLinks() {
		p.line("link", hex.EncodeToString(l.GetTraceId())+" "+hex.EncodeToString(l.GetSpanId()))
		p.attributes("  ", l.GetAttributes())
	}
}

func (p *paragraph) attributes(indent string, list []*commonpb.KeyValue) {
	for _, kv := range list {
		p.line(indent+kv.GetKey(), valueText(kv.GetValue()))
	}
}

// valueText is a text as it is, and everything else as OTLP/JSON has it.
func valueText(v *commonpb.AnyValue) string {
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return x.StringValue
	case *commonpb.AnyValue_IntValue:
		return strconv.FormatInt(x.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		return strconv.FormatFloat(x.DoubleValue, 'g', -1, 64)
	case *commonpb.AnyValue_BoolValue:
		return strconv.FormatBool(x.BoolValue)
	}
	raw, err := proto.Marshal(v)
	if err != nil {
		return "?"
	}
	text, err := otlp.AppendValueJSON(nil, raw)
	if err != nil {
		return "?"
	}
	return string(text)
}

// clock is a time of the day.
func clock(nanos uint64) string {
	return time.Unix(0, int64(nanos)).UTC().Format("15:04:05.000000") //nolint:gosec // a time until 2262
}
