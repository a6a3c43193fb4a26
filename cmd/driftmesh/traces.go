package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
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
	TraceID string `arg:"" optional:"" help:"32 hex digits; not needed with --record."`
	Record  string `help:"Show the trace in which this record was sent." placeholder:"ID"`
	Profile string `help:"Of this profile: its uid, space/name or space/name/version." placeholder:"PROFILE"`
	Records bool   `help:"Show with each span the records that were sent in it."`
}

// Run shows a trace as a tree with what its spans say, or as OTLP/JSON, which
// can be sent to /v1/traces again.
func (c tracesShowCmd) Run(ctx context.Context, con console) error {
	switch {
	case (c.TraceID == "") == (c.Record == ""), (c.Record == "") != (c.Profile == ""):
		return fault.Invalid.New("the id of a trace is needed, or --record and --profile")
	case c.Records && c.Output != "table":
		return fault.Invalid.New("--records is for tables: records list --trace gives them in other forms")
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	id := c.TraceID
	if c.Record != "" {
		if id, err = traceOf(ctx, conn, c.Profile, c.Record); err != nil {
			return err
		}
	}
	raw, truncated, err := readTrace(ctx, conn, id)
	if err != nil {
		return err
	}
	if truncated {
		fmt.Fprintln(con.err, "driftmesh: the trace has more spans than the mesh sends; these are the first")
	}
	if c.Output == "table" {
		var all tracepb.TracesData
		if err := proto.Unmarshal(raw, &all); err != nil {
			return fmt.Errorf("decode trace: %w", err)
		}
		var sent map[string][]*recordv1.StoredRecord
		if c.Records {
			if sent, err = recordsOf(ctx, conn, con.err, id); err != nil {
				return err
			}
		}
		return showTree(con.out, &all, sent)
	}
	text, err := tracesJSON(raw)
	if err != nil {
		return err
	}
	return c.showJSON(con.out, text)
}

// readTrace gives a trace as OTLP TracesData.
func readTrace(ctx context.Context, conn *grpc.ClientConn, id string) (raw []byte, truncated bool, err error) {
	stream, err := tracev1.NewTraceServiceClient(conn).GetTrace(ctx, &tracev1.GetTraceRequest{TraceId: id})
	if err != nil {
		return nil, false, err
	}
	for { // parts of a protobuf message, one behind the other, are the message
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return raw, truncated, nil
		}
		if err != nil {
			return nil, false, err
		}
		raw = append(raw, part.GetOtlpTraces()...)
		truncated = truncated || part.GetTruncated()
	}
}

// traceOf is the trace in which a record was sent.
func traceOf(ctx context.Context, conn *grpc.ClientConn, profile, record string) (string, error) {
	resp, err := recordv1.NewRecordServiceClient(conn).ListRecords(ctx, &recordv1.ListRecordsRequest{Profile: profile, RecordId: record})
	if err != nil {
		return "", err
	}
	found := resp.GetRecords()
	for _, labels := range []bool{false, true} { // these come later, from elsewhere
		for _, r := range found {
			if r.GetTraceId() != "" && (r.GetRecord().GetLabels() != nil) == labels {
				return r.GetTraceId(), nil
			}
		}
	}
	if len(found) > 0 {
		return "", fault.NotFound.New("record %q was sent outside any trace", record)
	}
	return "", fault.NotFound.New("profile %s has no record %q", profile, record)
}

// shownRecords bounds how many records of a trace are shown with it.
const shownRecords = 1000

// recordsOf gives the records of a trace by the hex id of their span.
func recordsOf(ctx context.Context, conn *grpc.ClientConn, warn io.Writer, trace string) (map[string][]*recordv1.StoredRecord, error) {
	out := map[string][]*recordv1.StoredRecord{}
	req := &recordv1.ListRecordsRequest{TraceId: trace, PageSize: 200}
	for n := 0; ; {
		resp, err := recordv1.NewRecordServiceClient(conn).ListRecords(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, r := range resp.GetRecords() {
			out[r.GetSpanId()] = append(out[r.GetSpanId()], r)
			n++
		}
		if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
			return out, nil
		}
		if n >= shownRecords {
			fmt.Fprintf(warn, "driftmesh: more than %d records were sent in the trace; these are the last\n", shownRecords)
			return out, nil
		}
	}
}

// tracesJSON writes OTLP TracesData as OTLP/JSON on one line.
func tracesJSON(raw []byte) (string, error) {
	json, err := otlp.ToJSON(raw)
	if err != nil {
		return "", fmt.Errorf("encode spans: %w", err)
	}
	return string(json), nil
}
