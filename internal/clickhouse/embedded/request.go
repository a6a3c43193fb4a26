package embedded

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded/chdb"
)

const (
	// headSize is how far into the body a statement is looked for: ClickHouse's
	// max_query_size.
	headSize = 256 << 10
	// maxStatement bounds a statement that is not followed by data.
	maxStatement = 16 << 20
	// maxWindow bounds the memory of a zstd decoder.
	maxWindow = 32 << 20
)

// request is one statement to run, as the HTTP interface takes it.
type request struct {
	statement
	setup    setup
	params   []chdb.Param
	format   string    // wanted for the result where the statement has no FORMAT
	body     io.Reader // the data of an insert
	compress bool      // the client wants the result in ClickHouse's own framing
	revision int       // of the client's native protocol
	id       string
}

// notSettings are the URL parameters that have a meaning of their own or none
// here; all others are settings.
var notSettings = map[string]bool{
	"query": true, "database": true, "default_format": true, "user": true, "password": true, "quota_key": true,
	"query_id": true, "compress": true, "decompress": true, "client_protocol_version": true, "wait_end_of_query": true,
	"buffer_size": true, "stacktrace": true, "close_session": true, "session_timeout": true, "session_check": true,
	"enable_http_compression": true, "http_zlib_compression_level": true, "network_compression_method": true,
	"network_zstd_compression_level": true, "send_progress_in_http_headers": true, "role": true,
}

// parse reads what r asks for: the URL's parameters and, when they hold no
// query, the head of the body.
func parse(r *http.Request) (*request, error) {
	values := r.URL.Query()
	req := &request{setup: setup{settings: map[string]string{}}, revision: number(values.Get("client_protocol_version"))}
	req.compress = values.Get("compress") == "1"
	req.id = values.Get("query_id")
	req.setup.role = values.Get("role")
	req.setup.database = cmp.Or(values.Get("database"), r.Header.Get("X-ClickHouse-Database"))
	req.format = cmp.Or(values.Get("default_format"), r.Header.Get("X-ClickHouse-Format"), "TabSeparated")
	for name, all := range values {
		value := all[len(all)-1]
		switch {
		case strings.HasPrefix(name, "param_"):
			req.params = append(req.params, chdb.Param{Name: strings.TrimPrefix(name, "param_"), Value: value})
		case name == "session_id":
			return nil, refuse(codeUnsupportedMethod, "UNSUPPORTED_METHOD", "the embedded engine keeps no HTTP sessions")
		case !notSettings[name]:
			req.setup.settings[name] = value
		}
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		return nil, refuse(codeNotImplemented, "NOT_IMPLEMENTED", "the embedded engine takes no external tables")
	}
	body, err := decode(r, values.Get("decompress") == "1")
	if err != nil {
		return nil, err
	}
	return req, req.readStatement(values.Get("query"), body)
}

// readStatement takes the statement from the URL's query and the body: as
// ClickHouse's server sees it, the body continues the query.
func (req *request) readStatement(query string, body io.Reader) error {
	if query != "" {
		req.statement = read(query)
		if req.kind == inserting {
			req.body = io.MultiReader(strings.NewReader(req.data), body)
			return nil
		}
	}
	head, err := io.ReadAll(io.LimitReader(body, headSize))
	if err != nil {
		return bodyError(err)
	}
	if query != "" {
		if len(head) == 0 {
			return nil
		}
		query += "\n"
	}
	req.statement = read(query + string(head))
	if req.kind == inserting {
		req.body = io.MultiReader(strings.NewReader(req.data), body)
		return nil
	}
	if len(head) < headSize {
		return nil
	}
	rest, err := io.ReadAll(io.LimitReader(body, maxStatement))
	switch {
	case err != nil:
		return bodyError(err)
	case len(rest) == maxStatement:
		return refuse(codeQueryTooLarge, "QUERY_IS_TOO_LARGE", "the statement is longer than %d bytes", maxStatement)
	}
	req.statement = read(query + string(head) + string(rest))
	return nil
}

// decode undoes the encodings of the body.
func decode(r *http.Request, framed bool) (io.Reader, error) {
	var body io.Reader = r.Body
	if body == nil {
		body = bytes.NewReader(nil)
	}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, bodyError(err)
		}
		body = z
	case "deflate":
		z, err := zlib.NewReader(body)
		if err != nil {
			return nil, bodyError(err)
		}
		body = z
	case "br":
		body = brotli.NewReader(body)
	case "lz4":
		body = lz4.NewReader(body)
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, bodyError(err)
		}
		body = z
	default:
		return nil, refuse(codeNotImplemented, "NOT_IMPLEMENTED", "unknown content encoding %q", encoding)
	}
	if framed {
		body = &unframe{frames: compress.NewReader(body)}
	}
	return body, nil
}

// unframe reads ClickHouse's own compressed frames; the end of the body between
// two frames is the end of the data.
type unframe struct{ frames io.Reader }

func (u *unframe) Read(p []byte) (int, error) {
	n, err := u.frames.Read(p)
	if n == 0 && err != nil && errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, io.EOF
	}
	return n, err
}

func bodyError(err error) error {
	return refuse(codeCannotDecompress, "CANNOT_DECOMPRESS", "read the request body: %v", err)
}

func number(text string) int {
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' || n > 1<<30 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}
