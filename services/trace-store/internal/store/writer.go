package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"golang.org/x/sync/errgroup"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
)

// Tables.
const (
	spansTable      = "spans"
	indexTable      = "span_index"
	operationsTable = "operations"
	ledgerTable     = "span_ledger"
)

// What the ledger of spans is kept in, for package receipt.
const (
	ReceiptsTable = "span_receipts"
	LedgerTable   = ledgerTable
	LedgerWritten = "Stored" // the column
)

// Inserter stores a block of columns in a table; it returns nil only when they
// are durable. *clickhouse.DB is one.
type Inserter interface {
	Insert(ctx context.Context, table string, columns proto.Input, settings ...clickhouse.Setting) error
}

// WriterConfig bounds a Writer. Zero fields have defaults.
type WriterConfig struct {
	// Blocks is how many blocks may be in memory, being filled or inserted, at
	// once: the bound on parallel writes. Default 2.
	Blocks int
	// MaxBlock is how many bytes a block may hold as it is sent. Default 32 MiB.
	MaxBlock int
	// Step, if set, names a part of the work for tracing and returns the function
	// that ends it; see runner.Step.
	Step func(ctx context.Context, name string) (context.Context, func(error))
	// Announce, if set, tells others which minutes of which services have new
	// spans, once these are stored. Its error is one of the write.
	Announce func(ctx context.Context, touched []Touch) error
	// Flushed, if set, is told of every block of spans that was stored. It is
	// called by the goroutine that wrote it.
	Flushed func(rows, bytes int, took time.Duration)
}

// Writer writes messages to the tables of trace-store. It is safe for
// concurrent use; no goroutine of it outlives a call.
type Writer struct {
	db   Inserter
	cfg  WriterConfig
	free chan *bench

	operations operationLog
}

// bench is what one Write works at: a block and a decoder to fill it.
type bench struct {
	cols *Columns
	dec  Decoder
}

// NewWriter makes a writer on db.
func NewWriter(db Inserter, cfg WriterConfig) *Writer {
	if cfg.Blocks <= 0 {
		cfg.Blocks = 2
	}
	if cfg.MaxBlock <= 0 {
		cfg.MaxBlock = 32 << 20
	}
	if cfg.Step == nil {
		cfg.Step = func(ctx context.Context, _ string) (context.Context, func(error)) { return ctx, func(error) {} }
	}
	w := &Writer{db: db, cfg: cfg, free: make(chan *bench, cfg.Blocks)}
	for range cfg.Blocks {
		w.free <- &bench{cols: NewColumns(), dec: Decoder{MaxBlock: cfg.MaxBlock}}
	}
	return w
}

// Write stores the spans of all messages, usually as one block, and a ledger
// row for each message. It returns nil only when all of that is stored, and
// then what became of each message. After an error nothing is known: the same
// messages have to be written again, which changes nothing that was stored.
// While all blocks are in use it waits.
func (w *Writer) Write(ctx context.Context, msgs []Message) ([]Entry, error) {
	if len(msgs) == 0 {
		return nil, nil
	}
	var b *bench
	select {
	case b = <-w.free:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() {
		b.cols.Reset()
		w.free <- b
	}()
	entries := make([]Entry, len(msgs))
	flush := func() error { return w.flush(ctx, b.cols) }
	for i := range msgs {
		m := &msgs[i]
		out, err := b.dec.Decode(m, b.cols, flush)
		if err != nil {
			return nil, err
		}
		entries[i] = Entry{Message: m, Accepted: max(m.Count, out.Stored+out.rejected()), Stored: out.Stored, Rejected: out.Rejected}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return entries, w.Settle(ctx, entries)
}

// Settle writes ledger rows alone: for messages that were parked. It returns
// nil only when they are stored.
func (w *Writer) Settle(ctx context.Context, entries []Entry) error {
	ledger, now := newLedgerColumns(), time.Now()
	for i := range entries {
		ledger.append(&entries[i], now)
	}
	return w.insert(ctx, ledgerTable, ledger.input())
}

// flush stores the block and empties it.
func (w *Writer) flush(ctx context.Context, cols *Columns) error {
	rows := cols.Rows()
	if rows == 0 {
		return nil
	}
	start := time.Now()
	// The two blocks share columns, which are only read. A row of the index
	// without its span is found by nobody: search looks at the span itself.
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return w.insert(both, spansTable, cols.Spans()) })
	group.Go(func() error { return w.insert(both, indexTable, cols.Index()) })
	if err := group.Wait(); err != nil {
		return err
	}
	// What lists offer is there: after the spans.
	if err := w.writeOperations(ctx, cols); err != nil {
		return err
	}
	if w.cfg.Announce != nil {
		if err := w.cfg.Announce(ctx, cols.Touched()); err != nil {
			return err
		}
	}
	if w.cfg.Flushed != nil {
		w.cfg.Flushed(rows, cols.Size(), time.Since(start))
	}
	cols.Reset()
	return nil
}

func (w *Writer) insert(ctx context.Context, table string, block proto.Input) error {
	ctx, end := w.cfg.Step(ctx, "store "+table)
	err := w.db.Insert(ctx, table, block)
	end(err)
	if err != nil {
		return fmt.Errorf("write %s: %w", table, err)
	}
	return nil
}
