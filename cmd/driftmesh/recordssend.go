package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/send"
	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

type recordsSendCmd struct {
	clientFlags
	File    string `arg:"" help:"CSV (.csv, .tsv or .txt, also .gz and .zst), Parquet, Arrow or Feather; - is standard input."`
	Profile string `help:"uid, space/name or space/name/version." required:""`
	tableFlags
	timeFlags
	ID          string   `help:"Column of record ids: a record sent twice counts once." name:"id" xor:"id" placeholder:"COLUMN"`
	IDs         string   `help:"Begins the id of each record; the row's number follows. Without ids each record gets one of its own, and a file sent twice counts twice." name:"id-prefix" xor:"id" placeholder:"TEXT"`
	Trace       string   `help:"Column of trace ids, 32 hex digits; goes with --span." placeholder:"COLUMN"`
	Span        string   `help:"Column of span ids, 16 hex digits." placeholder:"COLUMN"`
	Traceparent string   `help:"Column of W3C traceparents, instead of those two." placeholder:"COLUMN"`
	Features    []string `help:"Columns to send as features; all when not given." placeholder:"COLUMN"`
	Ignore      []string `help:"Columns to leave out." placeholder:"COLUMN"`

	Labels       bool `help:"The values became known later: they are labels of records that were sent before, by their ids."`
	IgnoreOthers bool `help:"Leave out columns that are no features of the profile."`
	Batch        int  `help:"Records in a request." default:"1000"`
}

// errRefused makes the command fail after it has said what was refused.
var errRefused = errors.New("some records were refused")

// Run sends the file and says what was refused.
func (c recordsSendCmd) Run(ctx context.Context, con console) error {
	if c.Batch < 1 {
		return errors.New("--batch: must be at least 1")
	}
	format, err := c.format()
	if err != nil {
		return err
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	known, err := driftv1.NewDriftServiceClient(conn).GetProfile(ctx, &driftv1.GetProfileRequest{Profile: c.Profile})
	if err != nil {
		return err
	}
	progress := newProgressLine(con.err)
	defer progress.end()
	rows, err := c.tableFlags.open(ctx, c.File, os.Stdin, table.Options{Report: progress.table})
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	defer func() { _ = rows.Close() }() // it was only read
	plan, err := send.NewPlan(rows, known.GetProfile(), send.Columns{
		Time: c.Time, TimeFormat: format, ID: c.ID, IDPrefix: c.IDs, Trace: c.Trace, Span: c.Span, Parent: c.Traceparent,
		Labels: c.Labels, Features: c.Features, Ignore: c.Ignore, IgnoreOthers: c.IgnoreOthers,
	})
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	if len(plan.Absent) > 0 {
		fmt.Fprintf(con.err, "the file has no column of %s: counts as missing\n", strings.Join(plan.Absent, ", "))
	}
	stream, err := ingestv1.NewIngestServiceClient(conn).StreamRecords(ctx)
	if err != nil {
		return err
	}
	tally := send.NewTally(plan)
	broken := sendRows(ctx, rows, plan, tally, batches{stream: stream, size: c.Batch})
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	progress.end()
	tally.Refused(answer)
	fmt.Fprintf(con.out, "accepted %d, rejected %d, not sent %d\n", answer.GetAccepted(), answer.GetRejected(), tally.Skipped())
	tally.Print(con.out)
	if broken != nil {
		return fmt.Errorf("read records: %w", broken)
	}
	if answer.GetRejected() > 0 || tally.Skipped() > 0 {
		return errRefused
	}
	return nil
}

// batches sends records in requests of a size.
type batches struct {
	stream interface {
		Send(*ingestv1.StreamRecordsRequest) error
	}
	size int
	next *ingestv1.StreamRecordsRequest
}

func (b *batches) add(r *ingestv1.Record) error {
	if b.next == nil {
		b.next = &ingestv1.StreamRecordsRequest{}
	}
	if b.next.Records = append(b.next.Records, r); len(b.next.Records) < b.size {
		return nil
	}
	return b.flush()
}

func (b *batches) flush() error {
	if b.next == nil {
		return nil
	}
	err := b.stream.Send(b.next)
	b.next = nil
	return err
}

// errSent says that the server wants no more, and has said why.
var errSent = errors.New("the server has answered")

// sendRows sends the rows of the table until the server wants no more.
func sendRows(ctx context.Context, rows table.Table, plan *send.Plan, tally *send.Tally, to batches) error {
	number := 0
	err := rows.Rows(ctx, plan.Names(), func(columns []table.Column) error {
		for row := range columns[0].Len() {
			r, problem := plan.Record(columns, row, number)
			if number++; problem != nil {
				tally.Skip(number-1, problem)
				continue
			}
			if to.add(r) != nil {
				return errSent // the answer has the reason
			}
		}
		return nil
	})
	if errors.Is(err, errSent) {
		return nil
	}
	_ = to.flush() // the answer has the reason
	return err
}
