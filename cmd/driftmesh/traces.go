package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
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

// Run shows a trace as a tree with what its spans say, or as OTLP/JSON, which
// can be sent to /v1/traces again.
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
	var raw []byte // parts of a protobuf message, one behind the other, are the message
	truncated := false
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		raw = append(raw, part.GetOtlpTraces()...)
		truncated = truncated || part.GetTruncated()
	}
	if truncated {
		fmt.Fprintln(con.err, "driftmesh: the trace has more spans than the mesh sends; these are the first")
	}
	if c.Output == "table" {
		var all tracepb.TracesData
		if err := proto.Unmarshal(raw, &all); err != nil {
			return fmt.Errorf("decode trace: %w", err)
		}
		return showTree(con.out, &all)
	}
	text, err := tracesJSON(raw)
	if err != nil {
		return err
	}
	return c.showJSON(con.out, text)
}

// tracesJSON writes OTLP TracesData as OTLP/JSON on one line.
func tracesJSON(raw []byte) (string, error) {
	json, err := otlp.ToJSON(raw)
	if err != nil {
		return "", fmt.Errorf("encode spans: %w", err)
	}
	return string(json), nil
}
