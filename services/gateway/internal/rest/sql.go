package rest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlresult"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

const (
	// maxStatement bounds the body of a request for SQL.
	maxStatement = 128 << 10
	// truncatedHeader, a trailer where the end is not known before, says that
	// there is more than was sent.
	truncatedHeader = "Driftmesh-Truncated"
)

// asCaller is the context of a call with the caller's credentials.
func asCaller(ctx context.Context, sent http.Header) context.Context {
	md := metadata.MD{}
	for name, values := range sent {
		if key, ok := incomingHeader(name); ok {
			md.Append(key, values...)
		}
	}
	md.Append("authorization", sent.Values("Authorization")...)
	return metadata.NewOutgoingContext(ctx, md)
}

// sqlRoute runs a statement: GET with ?query=, or POST with the statement as
// text, or as JSON {"query": …}. ?format= is json (an object a line), csv or
// tsv.
func sqlRoute(traces tracev1.TraceServiceClient) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		statement, err := statementOf(r)
		if err != nil {
			writeError(w, err)
			return
		}
		format := r.URL.Query().Get("format")
		if format == "" {
			format = "json"
		}
		if !slices.Contains(sqlresult.Formats, format) {
			writeError(w, fault.Invalid.New("format must be one of %s", strings.Join(sqlresult.Formats, ", ")))
			return
		}
		stream, err := traces.QuerySQL(asCaller(r.Context(), r.Header), &tracev1.QuerySQLRequest{Query: statement})
		if err != nil {
			writeError(w, err)
			return
		}
		first, err := stream.Recv()
		if err != nil {
			writeError(w, err)
			return
		}
		w.Header().Set("Content-Type", sqlresult.ContentType(format))
		w.Header().Set("Trailer", truncatedHeader)
		if err := writeRows(w, format, first, stream.Recv); err != nil {
			// What came so far must not look whole.
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's way to break off an answer
		}
	}
}

func writeRows(w http.ResponseWriter, format string, first *tracev1.QuerySQLResponse, next func() (*tracev1.QuerySQLResponse, error)) error {
	out := sqlresult.New(w, format)
	names := make([]string, 0, len(first.GetColumns()))
	for _, c := range first.GetColumns() {
		names = append(names, c.GetName())
	}
	if err := out.Begin(names); err != nil {
		return err
	}
	for part := first; ; {
		for _, row := range part.GetRows() {
			if err := out.Row(row); err != nil {
				return err
			}
		}
		if part.GetTruncated() {
			w.Header().Set(truncatedHeader, "true")
		}
		var err error
		if part, err = next(); errors.Is(err, io.EOF) {
			return out.End()
		} else if err != nil {
			return err
		}
	}
}

func statementOf(r *http.Request) (string, error) {
	if r.Method == http.MethodGet {
		return r.URL.Query().Get("query"), nil
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxStatement+1))
	switch {
	case err != nil:
		return "", fault.Invalid.Wrap(err, "the body cannot be read")
	case len(raw) > maxStatement:
		return "", fault.Invalid.New("the statement is longer than %d bytes", maxStatement)
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		return string(raw), nil
	}
	var body struct {
		Query string `json:"query"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return "", fault.Invalid.New(`the body must be JSON such as {"query": "SELECT …"}`)
	}
	return body.Query, nil
}
