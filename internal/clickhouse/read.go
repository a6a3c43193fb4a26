package clickhouse

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/pierrec/lz4/v4"
)

// readRevision is the revision of the protocol that Read asks for: the first
// that has LowCardinality columns, which a reader of many texts wants as they are.
const readRevision = 54405

const (
	// readBuffer is how much of an answer is taken from the wire at a time.
	readBuffer = 256 << 10
	// maxTail is how much of it is remembered to find an error in.
	maxTail = 16 << 10
)

// Read runs a SELECT and fills columns, which must be those of the statement in
// their order, with one block of the result after another; each is called for
// every block and must be done with the columns when it returns. It is the fast
// path for results of many rows: no value is looked at on the way.
//
// An error after some blocks is an error of the whole: what was made of them
// must be thrown away.
func (db *DB) Read(ctx context.Context, query string, columns proto.Results, each func() error) error {
	body, err := db.stream(ctx, query)
	if err != nil {
		return err
	}
	defer body.Close()
	seen := &tail{from: body}
	buffered := bufio.NewReaderSize(seen, readBuffer)
	reader := proto.NewReader(buffered)
	for {
		// Only here may the answer end: between two columns of a block it broke off.
		if _, err := buffered.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		var block proto.Block
		if err := block.DecodeRawBlock(reader, readRevision, columns); err != nil {
			return seen.verdict(err)
		}
		if block.Rows == 0 {
			continue
		}
		if err := each(); err != nil {
			return err
		}
	}
}

// stream asks for the result of a query, and refuses one that is an error.
func (db *DB) stream(ctx context.Context, sql string) (io.ReadCloser, error) {
	query := url.Values{
		"database": {db.target.database}, "default_format": {"Native"}, "client_protocol_version": {strconv.Itoa(readRevision)},
	}
	for name := range db.target.settings {
		query.Set(name, db.target.settings.Get(name))
	}
	if !db.target.loopback {
		query.Set("enable_http_compression", "1")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, db.target.scheme+"://"+db.host()+"/?"+query.Encode(), strings.NewReader(sql))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("X-ClickHouse-User", db.target.user)
	req.Header.Set("X-ClickHouse-Key", db.target.password)
	if !db.target.loopback {
		req.Header.Set("Accept-Encoding", "lz4")
	}
	resp, err := db.web.Do(req) //nolint:bodyclose // whoever reads it closes it
	if err != nil {
		return nil, Classify(err)
	}
	body := resp.Body
	if resp.Header.Get("Content-Encoding") == "lz4" {
		body = unpacked{lz4.NewReader(resp.Body), resp.Body}
	}
	if resp.StatusCode == http.StatusOK {
		return body, nil
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxVerdict))
	if err != nil {
		return nil, Classify(err)
	}
	return nil, verdict(resp, string(text))
}

// unpacked is a body whose content is compressed.
type unpacked struct {
	io.Reader
	io.Closer
}

// tail remembers the last that was read: an error that comes after blocks stands
// among them as text.
type tail struct {
	from io.Reader
	last []byte
}

// Read implements io.Reader.
func (t *tail) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	t.last = append(t.last[:0], p[max(0, n-maxTail):n]...)
	return n, err
}

// verdict is what ClickHouse said instead of a block, or else that the block is
// malformed.
func (t *tail) verdict(err error) error {
	rest, readErr := io.ReadAll(io.LimitReader(t.from, maxVerdict))
	text := string(append(t.last, rest...))
	if _, framed, ok := strings.Cut(text, "__exception__\r\n"); ok {
		if e := parseError(framed, 0); e != nil {
			return Classify(e)
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || readErr != nil {
		return Classify(fmt.Errorf("the result broke off: %w", errors.Join(io.ErrUnexpectedEOF, readErr)))
	}
	return Classify(fmt.Errorf("read block: %w", err))
}
