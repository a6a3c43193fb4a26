package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlresult"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

type sqlCmd struct {
	connectFlags
	Output string `help:"Form of the answer: table, json (an object a line), csv or tsv." short:"o" enum:"table,json,csv,tsv" default:"table"`
	Query  string `arg:"" optional:"" help:"The statement, one SELECT; from standard input without one."`
}

// maxQuery bounds what is read from standard input.
const maxQuery = 1 << 20

// Run runs a statement over the spans of the tenant.
func (c sqlCmd) Run(ctx context.Context, con console) error {
	statement := c.Query
	if statement == "" || statement == "-" {
		raw, err := io.ReadAll(io.LimitReader(os.Stdin, maxQuery))
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		statement = string(raw)
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := tracev1.NewTraceServiceClient(conn).QuerySQL(ctx, &tracev1.QuerySQLRequest{Query: statement})
	if err != nil {
		return err
	}
	out := sqlresult.New(con.out, c.Output)
	if out == nil {
		out = &sqlTable{w: tabwriter.NewWriter(con.out, 0, 4, 2, ' ', 0)}
	}
	cut, err := copyRows(out, stream.Recv)
	if err := errors.Join(err, out.End()); err != nil {
		return err
	}
	if cut {
		return fault.Exhausted.New("there are more rows than the mesh sends: add a LIMIT, or ask for less")
	}
	return nil
}

func copyRows(out sqlresult.Writer, recv func() (*tracev1.QuerySQLResponse, error)) (cut bool, err error) {
	for begun := false; ; begun = true {
		part, err := recv()
		if errors.Is(err, io.EOF) {
			return cut, nil
		}
		if err != nil {
			return cut, err
		}
		if !begun {
			names := make([]string, 0, len(part.GetColumns()))
			for _, c := range part.GetColumns() {
				names = append(names, c.GetName())
			}
			if err := out.Begin(names); err != nil {
				return cut, err
			}
		}
		for _, row := range part.GetRows() {
			if err := out.Row(row); err != nil {
				return cut, err
			}
		}
		cut = cut || part.GetTruncated()
	}
}

// sqlTable writes a result for people.
type sqlTable struct{ w *tabwriter.Writer }

func (t *sqlTable) Begin(names []string) error { return t.cells(names) }

func (t *sqlTable) Row(array string) error {
	cells, err := sqlresult.Cells(array, "NULL")
	if err != nil {
		return err
	}
	return t.cells(cells)
}

func (t *sqlTable) cells(texts []string) error {
	cells := make([]any, len(texts))
	for i, c := range texts {
		cells[i] = printable(c)
	}
	row(t.w, cells...)
	return nil
}

func (t *sqlTable) End() error { return t.w.Flush() }
