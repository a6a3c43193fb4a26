package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/reference"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

type recordsCmd struct {
	Send recordsSendCmd `cmd:"" help:"Send the rows of a file as records."`
	Tail recordsTailCmd `cmd:"" help:"Watch records or spans as they arrive."`
}

type recordsSendCmd struct {
	clientFlags
	File    string `arg:"" help:"A .csv file with a header, or a .parquet file." type:"existingfile"`
	Profile string `help:"uid, space/name or space/name/version." required:""`
	Batch   int    `help:"Records in a request." default:"1000"`
	IDs     string `help:"Begins the id of each record; the row's number follows. Without it each record gets an id of its own, and a file sent twice counts twice." name:"id-prefix"`
}

// Run sends the file and says what was refused.
func (c recordsSendCmd) Run(ctx context.Context, con console) error {
	if c.Batch < 1 {
		return errors.New("--batch: must be at least 1")
	}
	columns, err := reference.Read(ctx, c.File)
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	if len(columns) == 0 {
		return errors.New("read records: the file has no columns")
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := ingestv1.NewIngestServiceClient(conn).StreamRecords(ctx)
	if err != nil {
		return err
	}
	rows := columns[0].Len()
	for first := 0; first < rows; first += c.Batch {
		req := &ingestv1.StreamRecordsRequest{}
		for i := first; i < min(first+c.Batch, rows); i++ {
			r := &ingestv1.Record{Profile: c.Profile, Body: &ingestv1.Record_Features{Features: features(columns, i)}}
			if c.IDs != "" {
				r.Id = fmt.Sprintf("%s%d", c.IDs, i)
			}
			req.Records = append(req.Records, r)
		}
		if err := stream.Send(req); err != nil {
			break // the answer has the reason
		}
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	fmt.Fprintf(con.out, "accepted %d, rejected %d\n", answer.GetAccepted(), answer.GetRejected())
	printRejections(con.out, answer)
	if answer.GetRejected() > 0 {
		return errors.New("some records were refused")
	}
	return nil
}

// printRejections prints a line for each kind of error among the rejections that
// the server names, which are the first.
func printRejections(out io.Writer, answer *ingestv1.StreamRecordsResponse) {
	type kind struct{ field, message, reason string }
	var kinds []kind
	rows := map[kind][]uint32{}
	for _, r := range answer.GetRejections() {
		k := kind{r.GetField(), r.GetMessage(), r.GetReason()}
		if rows[k] == nil {
			kinds = append(kinds, k)
		}
		rows[k] = append(rows[k], r.GetIndex()+1)
	}
	for _, k := range kinds {
		where := fmt.Sprintf("row %d", rows[k][0])
		if n := len(rows[k]); n > 1 {
			where = fmt.Sprintf("%d rows, the first is %d", n, rows[k][0])
		}
		fmt.Fprintf(out, "  %s: %s: %s (%s)\n", where, k.field, k.message, k.reason)
	}
	if more := answer.GetRejected() - uint64(len(answer.GetRejections())); more > 0 {
		fmt.Fprintf(out, "  and %d more\n", more)
	}
}

// features is one row of the columns.
func features(columns []profile.Column, row int) *ingestv1.Features {
	out := &ingestv1.Features{Values: make([]*ingestv1.Feature, len(columns))}
	for i := range columns {
		c := &columns[i]
		f := &ingestv1.Feature{Name: c.Name}
		switch {
		case c.Missing != nil && c.Missing[row]:
			f.Value = &ingestv1.Feature_Missing{Missing: &ingestv1.Missing{}}
		case c.Type == profile.Int:
			f.Value = &ingestv1.Feature_Int{Int: int64(c.Numbers[row])}
		case c.Type == profile.Float:
			f.Value = &ingestv1.Feature_Float{Float: c.Numbers[row]}
		case c.Type == profile.Bool:
			f.Value = &ingestv1.Feature_Bool{Bool: c.Texts[row] == "true"}
		default:
			f.Value = &ingestv1.Feature_String_{String_: c.Texts[row]}
		}
		out.Values[i] = f
	}
	return out
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
