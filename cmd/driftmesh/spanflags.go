package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
	"github.com/driftmesh/driftmesh/internal/sqlresult"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// spanFlags make a profile whose observations are no records of features.
type spanFlags struct {
	Observe       string            `help:"Make observations of other records than those of features: of metrics, whose names are the columns of the reference, or of contexts, whose members are, such as usage.total." enum:",metrics,contexts" default:""`
	SpansOf       string            `help:"Make observations of the spans of this service, instead of having them sent. Features are duration_ms, error, status, span_name, span_kind, an attribute of the span by its key, or one of its resource after resource. (see --features)." placeholder:"SERVICE"`
	Operation     string            `help:"Only of spans with this name." placeholder:"NAME"`
	SpanKind      string            `help:"Only of spans of this kind." enum:",internal,server,client,producer,consumer" default:""`
	SpanAttribute map[string]string `help:"Only of spans with this attribute." placeholder:"KEY=TEXT"`
	Since         time.Duration     `help:"Without --reference, the stored spans of this last while are the reference." default:"24h"`
	Limit         uint32            `help:"At most so many of them, the newest." default:"100000"`
}

func (f spanFlags) source() *profile.Source {
	switch {
	case f.Observe != "":
		return &profile.Source{Of: profile.SourceKind(f.Observe)}
	case f.SpansOf == "":
		return nil
	}
	return &profile.Source{Service: f.SpansOf, Operation: f.Operation, Kind: f.SpanKind, Attributes: f.SpanAttribute}
}

// check says which flags do not go together.
func (f spanFlags) check(reference string, features []string) error {
	switch {
	case f.Observe != "" && f.SpansOf != "":
		return errors.New("--observe and --spans-of: observations are made of one of them")
	case reference == "" && f.SpansOf == "":
		return errors.New("a profile needs a reference: --reference FILE, or stored spans, --spans-of SERVICE")
	case reference == "" && len(features) == 0:
		return errors.New("--spans-of: name what to compare, such as --features duration_ms,error")
	case f.SpansOf == "" && (f.Operation != "" || f.SpanKind != "" || len(f.SpanAttribute) > 0):
		return errors.New("--operation, --span-kind and --span-attribute need the service, --spans-of")
	}
	return nil
}

// statement selects a column for each feature from the spans of a tenant.
func (f spanFlags) statement(features []string, now time.Time) string {
	columns := make([]string, len(features))
	for i, name := range features {
		columns[i] = spanColumn(name) + ` AS "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	conditions := []string{
		"ServiceName = " + sqltext.Quote(f.SpansOf), "Timestamp >= fromUnixTimestamp64Nano(" + strconv.FormatInt(now.Add(-f.Since).UnixNano(), 10) + ")",
	}
	if f.Operation != "" {
		conditions = append(conditions, "SpanName = "+sqltext.Quote(f.Operation))
	}
	if f.SpanKind != "" {
		conditions = append(conditions, "lower(SpanKind) = "+sqltext.Quote(f.SpanKind))
	}
	for _, key := range slices.Sorted(maps.Keys(f.SpanAttribute)) {
		conditions = append(conditions, "SpanAttributes["+sqltext.Quote(key)+"] = "+sqltext.Quote(f.SpanAttribute[key]))
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM otel_traces WHERE " + strings.Join(conditions, " AND ") +
		" ORDER BY Timestamp DESC LIMIT " + strconv.FormatUint(uint64(f.Limit), 10)
}

func spanColumn(feature string) string {
	switch feature {
	case profile.SpanDuration:
		return "Duration / 1e6"
	case profile.SpanError:
		return "if(StatusCode = 'Error', 'true', 'false')"
	case profile.SpanStatus:
		return "lower(StatusCode)"
	case profile.SpanName:
		return "SpanName"
	case profile.SpanKind:
		return "lower(SpanKind)"
	}
	of, key := "SpanAttributes", feature
	if rest, is := strings.CutPrefix(feature, profile.ResourcePrefix); is {
		of, key = "ResourceAttributes", rest
	}
	return of + "[" + sqltext.Quote(key) + "]"
}

// read gives the reference as CSV. What cannot be had ends the reading.
func (f spanFlags) read(ctx context.Context, conn connectFlags, features []string) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(f.copy(ctx, conn, features, w)) }()
	return r
}

func (f spanFlags) copy(ctx context.Context, to connectFlags, features []string, w io.Writer) error {
	conn, err := to.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := tracev1.NewTraceServiceClient(conn).QuerySQL(ctx, &tracev1.QuerySQLRequest{Query: f.statement(features, time.Now())})
	if err != nil {
		return err
	}
	out := sqlresult.New(w, "csv")
	if _, err := copyRows(out, stream.Recv); err != nil {
		return fmt.Errorf("read stored spans: %w", err)
	}
	return out.End()
}
