package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/otlp"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

type tracesCmd struct {
	Search   tracesSearchCmd   `cmd:"" help:"Find traces, the newest first."`
	Show     tracesShowCmd     `cmd:"" help:"Show the spans of a trace."`
	Services tracesServicesCmd `cmd:"" help:"List the services that sent spans."`
}

type tracesSearchCmd struct {
	clientFlags
	Service   string            `help:"service.name of a span."`
	Operation string            `help:"Name of a span."`
	Tag       map[string]string `help:"Attribute of the span or its resource: KEY=VALUE." placeholder:"KEY=VALUE"`
	Min       time.Duration     `help:"Spans at least this long."`
	Max       time.Duration     `help:"Spans at most this long."`
	Since     time.Duration     `help:"How far back." default:"1h"`
	Limit     uint32            `help:"How many traces." default:"20"`
}

// Run searches.
func (c tracesSearchCmd) Run(ctx context.Context, con console) error {
	q := &tracev1.TraceQuery{
		Service: c.Service, Operation: c.Operation, Attributes: c.Tag, StartTime: timestamppb.New(time.Now().Add(-c.Since)),
	}
	if c.Min > 0 {
		q.MinDuration = durationpb.New(c.Min)
	}
	if c.Max > 0 {
		q.MaxDuration = durationpb.New(c.Max)
	}
	return call(ctx, con, c.clientFlags, tracev1.NewTraceServiceClient, tracev1.TraceServiceClient.SearchTraces,
		&tracev1.SearchTracesRequest{Query: q, PageSize: c.Limit}, func(w io.Writer, r *tracev1.SearchTracesResponse) {
			row(w, "TRACE", "START", "DURATION", "ROOT", "SPANS", "ERRORS", "SERVICES")
			for _, t := range r.GetTraces() {
				row(w, t.GetTraceId(), stamp(t.GetStartTime()), t.GetDuration().AsDuration(), t.GetRootService()+": "+t.GetRootOperation(),
					t.GetSpans(), t.GetErrors(), strings.Join(t.GetServices(), " "))
			}
		})
}

type tracesServicesCmd struct{ clientFlags }

// Run lists services.
func (c tracesServicesCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, tracev1.NewTraceServiceClient, tracev1.TraceServiceClient.ListServices,
		&tracev1.ListServicesRequest{}, func(w io.Writer, r *tracev1.ListServicesResponse) {
			for _, s := range r.GetServices() {
				row(w, s)
			}
		})
}

type tracesShowCmd struct {
	clientFlags
	TraceID string `arg:"" help:"32 hex digits."`
}

// Run shows a trace as a tree, or as OTLP JSON.
func (c tracesShowCmd) Run(ctx context.Context, con console) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := tracev1.NewTraceServiceClient(conn).GetTrace(ctx, &tracev1.GetTraceRequest{TraceId: c.TraceID})
	if err != nil {
		return err
	}
	var all tracepb.TracesData
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		// Unmarshalling more of a message appends to its lists.
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(part.GetOtlpTraces(), &all); err != nil {
			return fmt.Errorf("decode trace: %w", err)
		}
	}
	return c.show(con.out, &all, func(w *tabwriter.Writer) { spanTree(w, &all) })
}

type treeSpan struct {
	*tracepb.Span
	service string
}

func spanTree(w io.Writer, all *tracepb.TracesData) {
	children := map[string][]treeSpan{}
	known := map[string]bool{}
	var spans []treeSpan
	for _, rs := range all.GetResourceSpans() {
		service := ""
		for _, kv := range rs.GetResource().GetAttributes() {
			if kv.GetKey() == "service.name" {
				service = kv.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				spans = append(spans, treeSpan{s, service})
				known[string(s.GetSpanId())] = true
			}
		}
	}
	slices.SortStableFunc(spans, func(a, b treeSpan) int {
		return int(int64(a.GetStartTimeUnixNano()) - int64(b.GetStartTimeUnixNano())) //nolint:gosec // times of one trace are near
	})
	for _, s := range spans {
		parent := string(s.GetParentSpanId())
		if !known[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	row(w, "SPAN", "SERVICE", "START", "DURATION", "ID")
	var show func(parent string, depth int)
	show = func(parent string, depth int) {
		for _, s := range children[parent] {
			start := time.Unix(0, int64(s.GetStartTimeUnixNano()))                       //nolint:gosec // a time until 2262
			duration := time.Duration(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()) //nolint:gosec // the door checked end ≥ start
			row(w, strings.Repeat("  ", depth)+s.GetName(), s.service, start.UTC().Format("15:04:05.000000"), duration, hex.EncodeToString(s.GetSpanId()))
			show(string(s.GetSpanId()), depth+1)
		}
	}
	show("", 0)
}

// tracesJSON writes OTLP TracesData as OTLP/JSON on one line.
func tracesJSON(raw []byte) (string, error) {
	json, err := otlp.ToJSON(raw)
	if err != nil {
		return "", fmt.Errorf("encode spans: %w", err)
	}
	return string(json), nil
}
