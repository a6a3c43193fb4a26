package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protojson"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

type recordsCmd struct {
	Send recordsSendCmd `cmd:"" help:"Send the rows of a file as records."`
	List recordsListCmd `cmd:"" help:"List the records of a trace, or one record and its trace."`
	Tail recordsTailCmd `cmd:"" help:"Watch records or spans as they arrive."`
}

type recordsTailCmd struct {
	clientFlags
	Spans    bool              `help:"Watch spans instead."`
	Profile  string            `help:"Only records of this profile (uid)."`
	Service  string            `help:"Only spans of this service."`
	SpanName string            `help:"Only spans of this name."`
	TraceID  string            `help:"Only of this trace."`
	Tag      map[string]string `help:"Only spans with this attribute: KEY=VALUE." placeholder:"KEY=VALUE"`
}

// Run prints one JSON object per line until it is stopped.
func (c recordsTailCmd) Run(ctx context.Context, con console) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	req := &ingestv1.TailRequest{
		Signal: ingestv1.Signal_SIGNAL_RECORDS, Profile: c.Profile, Service: c.Service,
		SpanName: c.SpanName, TraceId: c.TraceID, Attributes: c.Tag,
	}
	if c.Spans {
		req.Signal = ingestv1.Signal_SIGNAL_SPANS
	}
	stream, err := ingestv1.NewIngestServiceClient(conn).Tail(ctx, req)
	if err != nil {
		return err
	}
	var missed uint64
	for {
		item, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if item.GetMissed() > missed {
			missed = item.GetMissed()
			fmt.Fprintf(con.err, "missed %d messages so far: this reader is too slow\n", missed)
		}
		line, err := tailLine(item)
		if err != nil {
			return err
		}
		fmt.Fprintln(con.out, line)
	}
}

func tailLine(item *ingestv1.TailResponse) (string, error) {
	if item.GetRecord() != nil {
		raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(item.GetRecord())
		return string(raw), err
	}
	return tracesJSON(item.GetOtlpTraces())
}
