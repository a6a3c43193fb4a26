package query_test

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/schema"
	"github.com/driftmesh/driftmesh/internal/spantree"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

func text(key, value string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: value}}}
}

// spansOf is a request with spans of one service; "" has no service.name.
func spansOf(service string, spans ...*tracev1.Span) *tracev1.TracesData {
	resource := &resourcev1.Resource{}
	if service != "" {
		resource.Attributes = []*commonv1.KeyValue{text("service.name", service)}
	}
	return &tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{
		Resource: resource, ScopeSpans: []*tracev1.ScopeSpans{{Spans: spans}},
	}}}
}

const oneTrace = "one trace, 16 b."

// newSpan starts so many milliseconds after scaleBase and lasts one.
func newSpan(id, parent, name string, kind tracev1.Span_SpanKind, ms uint64) *tracev1.Span {
	s := &tracev1.Span{
		TraceId: []byte(oneTrace), SpanId: []byte(id), Name: name, Kind: kind,
		StartTimeUnixNano: scaleBase + ms*1e6, EndTimeUnixNano: scaleBase + (ms+1)*1e6,
	}
	if parent != "" {
		s.ParentSpanId = []byte(parent)
	}
	return s
}

const (
	asInternal = tracev1.Span_SPAN_KIND_INTERNAL
	asServer   = tracev1.Span_SPAN_KIND_SERVER
	asClient   = tracev1.Span_SPAN_KIND_CLIENT
)

func (f *fixture) count(sql string) (n uint64) {
	f.t.Helper()
	require.NoError(f.t, f.db.QueryRow(f.t.Context(), sql).Scan(&n))
	return n
}

// search gives the ids of the traces that match.
func (f *fixture) search(s query.Search) []query.TraceID {
	f.t.Helper()
	got, _, err := f.reader.Summaries(f.t.Context(), "acme", s)
	require.NoError(f.t, err)
	return summaryIDs(got)
}

// TestTwins: spans that share trace and span id but differ in service or kind
// are all kept, before merges and after; the same span again is not another.
func TestTwins(t *testing.T) {
	f := setup(t, query.Limits{})
	require.NoError(t, f.db.Exec(t.Context(), "SYSTEM STOP MERGES spans"))
	twins := []*tracev1.TracesData{
		spansOf("front", newSpan("sharedid", "", "call", asClient, 1)),
		spansOf("back", newSpan("sharedid", "", "serve", asServer, 2)),
		spansOf("back", newSpan("sharedid", "", "within", asInternal, 2)),
	}
	for range 2 {
		for _, data := range twins {
			f.write(f.message("acme", data))
		}
	}
	want := tracetest.Canonical(twins...)
	check := func(t *testing.T) {
		got := tracetest.Canonical(f.trace("acme", []byte(oneTrace)))
		require.Len(t, got, len(want))
		stored, err := f.reader.Stored(t.Context(), "acme", time.Unix(0, 0))
		require.NoError(t, err)
		require.Equal(t, uint64(3), stored)
		var pending int64
		ledger, err := f.newBook(&pending).Settled(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, uint64(6), ledger.GetInstances()[0].GetWritten(), "three of them are duplicates")
		require.Equal(t, uint64(3), f.count("SELECT count() FROM otel_traces"))
		for _, operation := range []string{"call", "serve", "within"} {
			found, _, err := f.reader.Summaries(t.Context(), "acme", query.Search{Operation: operation})
			require.NoError(t, err)
			require.Len(t, found, 1)
			require.Equal(t, 3, found[0].Spans)
			require.Equal(t, []query.ServiceCount{
				{Service: "back", Spans: 2, Start: time.Unix(0, scaleBase+2e6), Duration: time.Millisecond},
				{Service: "front", Spans: 1, Start: time.Unix(0, scaleBase+1e6), Duration: time.Millisecond},
			}, found[0].Services)
		}
		var warned []string
		require.NoError(t, f.reader.Trace(t.Context(), "acme", query.TraceID([]byte(oneTrace)), func(p query.Part) error {
			for _, w := range p.Warnings {
				require.Equal(t, spantree.SharedID, w.Oddity.Kind)
				warned = append(warned, w.Service+" "+w.Kind)
			}
			return nil
		}))
		slices.Sort(warned)
		require.Equal(t, []string{"back internal", "back server", "front client"}, warned)
	}
	t.Run("before merges", check)
	require.NoError(t, f.db.Exec(t.Context(), "SYSTEM START MERGES spans"))
	for _, table := range []string{"spans", "span_index"} {
		require.NoError(t, f.db.Exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL"))
		require.Equal(t, uint64(3), f.count("SELECT count() FROM "+table))
	}
	t.Run("after merges", check)
}

// TestTwinsOfBefore: a span that was stored before twins were told apart and
// comes again is still one span, before merges and after.
func TestTwinsOfBefore(t *testing.T) {
	db := clickhousetest.Open(t)
	all := schema.Spans()
	old := fstest.MapFS{}
	names, err := fs.Glob(all, "000[1-5]_*.sql")
	require.NoError(t, err)
	require.Len(t, names, 5)
	for _, name := range names {
		raw, err := fs.ReadFile(all, name)
		require.NoError(t, err)
		old[name] = &fstest.MapFile{Data: raw}
	}
	require.NoError(t, db.Migrate(t.Context(), "trace-store", old))
	f := &fixture{t: t, db: db, writer: store.NewWriter(db, store.WriterConfig{}), reader: query.New(db, query.Limits{})}
	again := f.message("acme", spansOf("front", newSpan("01234567", "", "call", asClient, 1)))
	for table, sql := range map[string]string{
		"spans":      "INSERT INTO spans (Tenant, ReceivedAt, TraceId, SpanId, SpanName, SpanKind, ServiceName, Timestamp, ResourceAttributes)",
		"span_index": "INSERT INTO span_index (Tenant, ReceivedAt, TraceId, SpanId, SpanName, SpanKind, ServiceName, Timestamp, Tags)",
	} {
		last := "'[]'"
		if table == "span_index" {
			last = "[]"
		}
		require.NoError(t, db.Exec(t.Context(), sql+" SELECT 'acme', fromUnixTimestamp64Nano({at:Int64}), {trace:String}, '01234567', 'call', 3, 'front', fromUnixTimestamp64Nano({start:Int64}), "+last,
			clickhouse.Named("at", again.ReceivedAt.UnixNano()), clickhouse.Named("trace", oneTrace), clickhouse.Named("start", int64(scaleBase+1e6))))
	}
	migrate(t, db)
	for range 2 { // while it lasts, a migration may be applied again
		require.NoError(t, db.Exec(t.Context(), "DELETE FROM migrations WHERE Name = '0006_twins.sql'"))
		migrate(t, db)
	}
	f.write(again)
	f.write(f.message("acme", spansOf("back", newSpan("01234567", "", "serve", asServer, 1))))
	for _, merged := range []bool{false, true} {
		for _, table := range []string{"spans", "span_index"} {
			if merged {
				require.NoError(t, db.Exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL"))
				require.Equal(t, uint64(2), f.count("SELECT count() FROM "+table))
			}
			require.Equal(t, uint64(2), f.count("SELECT count() FROM "+table+" FINAL"))
		}
		require.Len(t, tracetest.Canonical(f.trace("acme", []byte(oneTrace))), 2)
		require.Len(t, f.search(query.Search{Service: "front"}), 1)
	}
}

// TestSentAgainOtherwise: a span that is sent again with other content is found
// by what it says now, and by nothing that it said before, also while no merge
// has taken the old version away.
func TestSentAgainOtherwise(t *testing.T) {
	f := setup(t, query.Limits{})
	for _, table := range []string{"spans", "span_index"} {
		require.NoError(t, f.db.Exec(t.Context(), "SYSTEM STOP MERGES "+table))
	}
	before, now := newSpan("01234567", "", "before", asServer, 5), newSpan("01234567", "", "now", asServer, 2000)
	before.Attributes = []*commonv1.KeyValue{text("plan", "free")}
	before.Status = &tracev1.Status{Code: tracev1.Status_STATUS_CODE_ERROR}
	before.EndTimeUnixNano = before.StartTimeUnixNano + 9e9
	now.Attributes = []*commonv1.KeyValue{text("plan", "paid")}
	other := newSpan("other567", "", "other", asInternal, 4)
	other.TraceId = []byte("another trace 16")
	f.write(f.message("acme", spansOf("shop", before)))
	f.write(f.message("acme", spansOf("shop", other)))
	f.write(f.message("acme", spansOf("shop", now)))
	require.Equal(t, uint64(3), f.count("SELECT count() FROM spans"), "the old version is still there")

	at := func(ms int64) time.Time { return time.Unix(0, scaleBase+ms*1e6) }
	none, one := []query.TraceID{}, []query.TraceID{query.TraceID([]byte(oneTrace))}
	for name, tt := range map[string]struct {
		search query.Search
		want   []query.TraceID
	}{
		"old attribute": {query.Search{Attributes: map[string]string{"plan": "free"}}, none},
		"new attribute": {query.Search{Attributes: map[string]string{"plan": "paid"}}, one},
		"old name":      {query.Search{Operation: "before"}, none},
		"new name":      {query.Search{Operation: "now"}, one},
		"old status":    {query.Search{Attributes: map[string]string{"error": "true"}}, none},
		"old duration":  {query.Search{MinDuration: time.Second}, none},
		"old time":      {query.Search{Range: query.Range{Start: at(5), End: at(100)}}, none},
		"new time":      {query.Search{Range: query.Range{Start: at(1999)}}, one},
		"both, mixed":   {query.Search{Operation: "now", Attributes: map[string]string{"plan": "free"}}, none},
		"all":           {query.Search{Limit: 1}, one},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, f.search(tt.search))
			var whole []query.TraceID
			_, err := f.reader.Find(t.Context(), "acme", tt.search, func(p query.Part) error {
				whole = append(whole, p.TraceID)
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, tt.want, append([]query.TraceID{}, whole...))
		})
	}
}
