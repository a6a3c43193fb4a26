package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/pierrec/lz4/v4"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// Insert stores the columns, which must all have the same number of rows, as
// one Native block into table and returns nil only when ClickHouse has them. It
// is the fast path: the columns go to the wire one after the other, with no
// copy of the whole. The columns are only read, and not touched any more once
// Insert has returned; whether rows are stored after an error is unknown, so
// that what is inserted must be idempotent. No rows is no error and no work.
//
// Rows with equal keys within one block stay apart until a merge, in a
// ReplacingMergeTree too (optimize_on_insert is off): read with FINAL or
// LIMIT 1 BY.
//
// Table is a name in the database of db, or "database.table".
func (db *DB) Insert(ctx context.Context, table string, columns proto.Input, settings ...Setting) error {
	rows, err := rowsOf(columns)
	if err != nil || rows == 0 {
		return err
	}
	buf := db.bufs.Get().(*proto.Buffer)
	body := newBlockBody(buf, columns, rows)
	err = db.post(ctx, db.insertURL(table, columns, settings), body)
	body.wait() // the transport may still read the columns after an early answer
	if cap(buf.Buf) <= maxPooledBuffer {
		db.bufs.Put(buf)
	}
	if err != nil {
		return fmt.Errorf("insert %d rows into %s: %w", rows, table, err)
	}
	return nil
}

// insertSettings hold for every Insert unless the caller says otherwise.
var insertSettings = []Setting{
	// The answer means stored, on servers too that would rather collect.
	{"async_insert", "0"},
	// Do not run a merge on the block before it is written: it doubles the cost
	// of an insert into a ReplacingMergeTree, and readers de-duplicate anyway.
	{"optimize_on_insert", "0"},
}

// maxPooledBuffer is the largest buffer kept for the next insert.
const maxPooledBuffer = 16 << 20

// rowsOf checks that the columns are of one length.
func rowsOf(columns proto.Input) (int, error) {
	if len(columns) == 0 {
		return 0, fault.Internal.New("insert without columns")
	}
	rows := columns[0].Data.Rows()
	for _, c := range columns[1:] {
		if n := c.Data.Rows(); n != rows {
			return 0, fault.Internal.New("insert of columns of different lengths: %s has %d rows, %s has %d", columns[0].Name, rows, c.Name, n)
		}
	}
	return rows, nil
}

func (db *DB) insertURL(table string, columns proto.Input, settings []Setting) string {
	var sql strings.Builder
	sql.WriteString("INSERT INTO ")
	for i, part := range strings.SplitN(table, ".", 2) {
		if i > 0 {
			sql.WriteByte('.')
		}
		sql.WriteString(sqltext.Identifier(part))
	}
	sql.WriteString(" (")
	for i, c := range columns {
		if i > 0 {
			sql.WriteString(", ")
		}
		sql.WriteString(sqltext.Identifier(c.Name))
	}
	sql.WriteString(") FORMAT Native")
	query := url.Values{"database": {db.target.database}, "query": {sql.String()}}
	for name := range db.target.settings {
		query.Set(name, db.target.settings.Get(name))
	}
	for _, s := range insertSettings {
		query.Set(s.Name, s.Value)
	}
	for _, s := range settings {
		query.Set(s.Name, s.Value)
	}
	return query.Encode()
}

// post sends the block, and reads ClickHouse's verdict.
func (db *DB) post(ctx context.Context, query string, body *blockBody) error {
	var reader io.ReadCloser = body
	if !db.target.loopback {
		reader = compressed(body)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, db.target.scheme+"://"+db.host()+"/?"+query, reader)
	if err != nil {
		return errors.Join(fmt.Errorf("make request: %w", err), body.Close())
	}
	req.Header.Set("X-ClickHouse-User", db.target.user)
	req.Header.Set("X-ClickHouse-Key", db.target.password)
	req.Header.Set("Content-Type", "application/octet-stream")
	if !db.target.loopback {
		req.Header.Set("Content-Encoding", "lz4")
	}
	resp, err := db.web.Do(req)
	if err != nil {
		return Classify(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxVerdict))
	if err != nil {
		return Classify(err)
	}
	return verdict(resp, string(text))
}

// maxVerdict bounds what is read of an answer to an insert.
const maxVerdict = 64 << 10

// verdict is the error in an answer; one that comes after a good status is
// framed in the body.
func verdict(resp *http.Response, text string) error {
	if resp.StatusCode == http.StatusOK && !strings.Contains(text, "__exception__\r\n") {
		return nil
	}
	e := parseError(text, resp.StatusCode)
	if e == nil {
		e = &Error{Code: CodeUnknownException, Message: strings.TrimSpace(text), Status: resp.StatusCode}
	}
	return Classify(e)
}

// compressed is the body in LZ4 frames, made as it is read.
func compressed(body io.ReadCloser) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		z := lz4.NewWriter(w)
		_, err := io.Copy(z, body)
		if err == nil {
			err = z.Close()
		}
		_ = w.CloseWithError(err)
		_ = body.Close()
	}()
	return r
}

// blockBody is a request body that encodes a block column by column.
type blockBody struct {
	columns proto.Input
	closed  chan struct{} // by the first Close

	mu    sync.Mutex // the transport may close while it reads
	ended bool
	buf   *proto.Buffer
	rest  []byte // of buf, not yet read
	next  int    // column to encode
}

func newBlockBody(buf *proto.Buffer, columns proto.Input, rows int) *blockBody {
	buf.Reset()
	buf.PutUVarInt(uint64(len(columns)))
	buf.PutUVarInt(uint64(rows))
	return &blockBody{columns: columns, closed: make(chan struct{}), buf: buf, rest: buf.Buf}
}

// fill encodes the next column into the buffer.
func (b *blockBody) fill() error {
	if b.next == len(b.columns) {
		return io.EOF
	}
	c := b.columns[b.next]
	b.next++
	b.buf.Reset()
	// Revision 0: that is what Native is over HTTP for data that is sent.
	c.EncodeStart(b.buf, 0)
	if p, ok := c.Data.(proto.Preparable); ok {
		if err := p.Prepare(); err != nil {
			return fmt.Errorf("prepare column %s: %w", c.Name, err)
		}
	}
	if s, ok := c.Data.(proto.StateEncoder); ok {
		s.EncodeState(b.buf)
	}
	c.Data.EncodeColumn(b.buf)
	b.rest = b.buf.Buf
	return nil
}

// Read implements io.Reader.
func (b *blockBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, http.ErrBodyReadAfterClose
	}
	for len(b.rest) == 0 {
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close ends the body; the transport calls it when it is done with it.
func (b *blockBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.ended = true
		close(b.closed)
	}
	return nil
}

// wait blocks until nobody reads the columns any more.
func (b *blockBody) wait() { <-b.closed }
