package query_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

// expect is the answer computed span by span: the ids of the traces that have
// a span for which match holds, those with the newest such span first.
func expect(all []*tracev1.ResourceSpans, match func(*resourcev1.Resource, *tracev1.Span) bool) []query.TraceID {
	newest := map[query.TraceID]uint64{}
	for _, rs := range all {
		s := rs.ScopeSpans[0].Spans[0]
		if match(rs.Resource, s) {
			id := query.TraceID(s.TraceId)
			newest[id] = max(newest[id], s.StartTimeUnixNano)
		}
	}
	ids := make([]query.TraceID, 0, len(newest))
	for id := range newest {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b query.TraceID) int {
		return cmp.Or(cmp.Compare(newest[b], newest[a]), slices.Compare(b[:], a[:]))
	})
	return ids
}

func attribute(attrs []*commonv1.KeyValue, key string) string {
	for _, a := range attrs {
		if a.Key == key {
			if s, ok := a.Value.Value.(*commonv1.AnyValue_StringValue); ok {
				return s.StringValue
			}
		}
	}
	return ""
}

func service(r *resourcev1.Resource) string { return attribute(r.GetAttributes(), "service.name") }

func isError(s *tracev1.Span) bool { return s.Status.Code == tracev1.Status_STATUS_CODE_ERROR }

func TestSearch(t *testing.T) {
	f := setup(t, query.Limits{})
	r := rand.New(rand.NewPCG(2, 71))
	var all []*tracev1.ResourceSpans
	for n := range 12 {
		data := tracetest.Realistic(r, scaleBase+uint64(n)*1e9)
		m := f.message("acme", data)
		f.write(m)
		f.write(m) // everything twice
		all = append(all, tracetest.Canonical(data)...)
	}
	user := attribute(all[17].ScopeSpans[0].Spans[0].Attributes, "enduser.id")
	at := func(seconds float64) time.Time { return time.Unix(0, scaleBase+int64(seconds*1e9)) }
	everything := func(*resourcev1.Resource, *tracev1.Span) bool { return true }
	first, second := query.TraceID(all[3].ScopeSpans[0].Spans[0].TraceId), query.TraceID(all[len(all)-1].ScopeSpans[0].Spans[0].TraceId)
	tests := map[string]struct {
		search query.Search
		match  func(*resourcev1.Resource, *tracev1.Span) bool
	}{
		"everything": {query.Search{}, everything},
		"a service":  {query.Search{Service: "service-2"}, func(r *resourcev1.Resource, _ *tracev1.Span) bool { return service(r) == "service-2" }},
		"an operation": {query.Search{Service: "service-2", Operation: "GET /api/v3/orders/{id}"}, func(r *resourcev1.Resource, s *tracev1.Span) bool {
			return service(r) == "service-2" && s.Name == "GET /api/v3/orders/{id}"
		}},
		"another tenant's service": {query.Search{Service: "elsewhere"}, func(*resourcev1.Resource, *tracev1.Span) bool { return false }},
		"a time": {query.Search{Range: query.Range{Start: at(3), End: at(5.5)}}, func(_ *resourcev1.Resource, s *tracev1.Span) bool {
			return s.StartTimeUnixNano >= scaleBase+3e9 && s.StartTimeUnixNano < scaleBase+55e8
		}},
		"durations": {query.Search{MinDuration: 30 * time.Millisecond, MaxDuration: 60 * time.Millisecond}, func(_ *resourcev1.Resource, s *tracev1.Span) bool {
			d := s.EndTimeUnixNano - s.StartTimeUnixNano
			return d >= 30e6 && d <= 60e6
		}},
		"a span's attribute": {query.Search{Attributes: map[string]string{"enduser.id": user}}, func(_ *resourcev1.Resource, s *tracev1.Span) bool {
			return attribute(s.Attributes, "enduser.id") == user
		}},
		"a number, as text": {query.Search{Attributes: map[string]string{"http.response.status_code": "500"}}, func(_ *resourcev1.Resource, s *tracev1.Span) bool {
			return isError(s)
		}},
		"a resource's attribute and a span's": {query.Search{Attributes: map[string]string{"service.name": "service-1", "thread.name": "worker-7"}}, func(r *resourcev1.Resource, s *tracev1.Span) bool {
			return service(r) == "service-1" && attribute(s.Attributes, "thread.name") == "worker-7"
		}},
		"errors":   {query.Search{Attributes: map[string]string{"error": "true"}}, func(_ *resourcev1.Resource, s *tracev1.Span) bool { return isError(s) }},
		"a status": {query.Search{Attributes: map[string]string{"otel.status_code": "ERROR"}}, func(_ *resourcev1.Resource, s *tracev1.Span) bool { return isError(s) }},
		"a kind":   {query.Search{Attributes: map[string]string{"span.kind": "producer"}}, func(_ *resourcev1.Resource, s *tracev1.Span) bool { return s.Kind == tracev1.Span_SPAN_KIND_PRODUCER }},
		"one of two attributes, with a third": {query.Search{Any: []query.Attribute{{Key: "enduser.id", Text: user}, {Key: "error", Text: "true"}}, Attributes: map[string]string{"service.name": "service-1"}},
			func(r *resourcev1.Resource, s *tracev1.Span) bool {
				return service(r) == "service-1" && (attribute(s.Attributes, "enduser.id") == user || isError(s))
			}},
		"two traces": {query.Search{Traces: []query.TraceID{first, second}}, func(_ *resourcev1.Resource, s *tracev1.Span) bool {
			return query.TraceID(s.TraceId) == first || query.TraceID(s.TraceId) == second
		}},
		"nothing":        {query.Search{Attributes: map[string]string{"enduser.id": "nobody"}}, func(*resourcev1.Resource, *tracev1.Span) bool { return false }},
		"quotes and SQL": {query.Search{Operation: `'; DROP TABLE spans; --`, Attributes: map[string]string{`k' OR 1=1 --`: "\\' \n\t\x00{x:String}"}}, func(*resourcev1.Resource, *tracev1.Span) bool { return false }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := expect(all, tt.match)
			tt.search.Limit = 1000
			got, next, err := f.reader.Summaries(t.Context(), "acme", tt.search)
			require.NoError(t, err)
			require.Empty(t, next)
			require.Equal(t, want, summaryIDs(got))

			// Page by page it is the same, and from the end to the beginning too.
			tt.search.Limit = 1 + len(want)/3
			for _, tt.search.OldestFirst = range []bool{false, true} {
				paged, search := []query.TraceID{}, tt.search
				for {
					page, next, err := f.reader.Summaries(t.Context(), "acme", search)
					require.NoError(t, err)
					paged = append(paged, summaryIDs(page)...)
					if next == "" {
						break
					}
					require.Len(t, page, search.Limit)
					require.Equal(t, next, page[len(page)-1].Place.Token())
					search.After = next
				}
				if search.OldestFirst {
					slices.Reverse(paged)
				}
				require.Equal(t, want, paged)
			}
		})
	}
	t.Run("whole traces", func(t *testing.T) {
		want := expect(all, everything)[:30]
		var got []query.TraceID
		whole := &tracev1.TracesData{}
		more, err := f.reader.Find(t.Context(), "acme", query.Search{Limit: 30}, func(p query.Part) error {
			require.False(t, p.Truncated)
			require.Equal(t, 10, p.Spans)
			got = append(got, p.TraceID)
			part := &tracev1.TracesData{}
			require.NoError(t, proto.Unmarshal(p.Traces, part))
			whole.ResourceSpans = append(whole.ResourceSpans, part.ResourceSpans...)
			return nil
		})
		require.NoError(t, err)
		require.True(t, more, "there are 120 traces")
		require.Equal(t, want, got)
		for _, rs := range tracetest.Canonical(whole) {
			i := slices.IndexFunc(all, func(o *tracev1.ResourceSpans) bool {
				return string(o.ScopeSpans[0].Spans[0].SpanId) == string(rs.ScopeSpans[0].Spans[0].SpanId)
			})
			require.True(t, proto.Equal(all[i], rs))
		}
	})
}

func summaryIDs(list []query.Summary) []query.TraceID {
	ids := make([]query.TraceID, 0, len(list))
	for _, s := range list {
		ids = append(ids, s.TraceID)
	}
	return ids
}

func TestSummary(t *testing.T) {
	f := setup(t, query.Limits{})
	data := tracetest.Realistic(rand.New(rand.NewPCG(4, 4)), scaleBase)
	f.write(f.message("acme", data))
	id := data.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceId
	want := query.Summary{TraceID: query.TraceID(id), Start: time.Unix(0, scaleBase), HasRoot: true}
	counts := map[string]*query.ServiceCount{}
	var end, newest uint64
	for _, rs := range tracetest.Canonical(data) {
		s := rs.ScopeSpans[0].Spans[0]
		if string(s.TraceId) != string(id) {
			continue
		}
		want.Spans++
		name := service(rs.Resource)
		if counts[name] == nil {
			counts[name] = &query.ServiceCount{Service: name, Start: time.Unix(0, int64(s.StartTimeUnixNano))}
		}
		start, until := min(counts[name].Start.UnixNano(), int64(s.StartTimeUnixNano)), max(counts[name].Start.Add(counts[name].Duration).UnixNano(), int64(s.EndTimeUnixNano))
		counts[name].Start, counts[name].Duration = time.Unix(0, start), time.Duration(until-start)
		counts[name].Spans++
		if isError(s) {
			want.Errors++
			counts[name].Errors++
		}
		if len(s.ParentSpanId) == 0 {
			want.RootService, want.RootOperation = service(rs.Resource), s.Name
		}
		end, newest = max(end, s.EndTimeUnixNano), max(newest, s.StartTimeUnixNano)
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		want.Services = append(want.Services, *counts[name])
	}
	want.Duration = time.Duration(end - scaleBase)
	want.Place = query.Place{At: time.Unix(0, int64(newest)), ID: want.TraceID}
	got, _, err := f.reader.Summaries(t.Context(), "acme", query.Search{Limit: 10})
	require.NoError(t, err)
	i := slices.IndexFunc(got, func(s query.Summary) bool { return s.TraceID == want.TraceID })
	require.Equal(t, want, got[i])
}

// TestSearchBehindALargeTrace: one trace with very many of the newest spans
// hides no other.
func TestSearchBehindALargeTrace(t *testing.T) {
	f := setup(t, query.Limits{})
	r := rand.New(rand.NewPCG(4, 4))
	older := tracetest.Realistic(r, scaleBase)
	f.write(f.message("acme", older))
	id := older.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceId
	for range 6 {
		newer := tracetest.Realistic(r, scaleBase+1e10)
		for _, rs := range newer.ResourceSpans {
			for _, s := range rs.ScopeSpans[0].Spans {
				s.TraceId = []byte("one large trace!")
			}
		}
		f.write(f.message("acme", newer))
	}
	got, next, err := f.reader.Summaries(t.Context(), "acme", query.Search{Limit: 5})
	require.NoError(t, err)
	require.Len(t, got, 5)
	require.NotEmpty(t, next)
	require.Equal(t, 600, got[0].Spans)
	rest, next, err := f.reader.Summaries(t.Context(), "acme", query.Search{Limit: 50, After: next})
	require.NoError(t, err)
	require.Len(t, rest, 6)
	require.Empty(t, next)
	require.Contains(t, append(summaryIDs(got), summaryIDs(rest)...), query.TraceID(id))
}

// TestSearchOverALongTime: the order is that of time, page by page, whether there is much
// in the last hour, which is looked at first, or little.
func TestSearchOverALongTime(t *testing.T) {
	f := setup(t, query.Limits{})
	var want []query.TraceID
	var msgs []store.Message
	at := uint64(scaleBase)
	for i := range 20 { // several in an hour, then one in several
		data := spansOf([]string{"a", "b"}[i%2], newSpan(fmt.Sprintf("span%04d", i), "", "op", asServer, 0))
		s := data.ResourceSpans[0].ScopeSpans[0].Spans[0]
		s.TraceId = fmt.Appendf(nil, "long time %06d", (i*7)%20)
		s.StartTimeUnixNano, s.EndTimeUnixNano = at, at+1
		at -= uint64(time.Duration(10+i*i*40) * time.Second)
		msgs = append(msgs, f.message("acme", data))
		want = append(want, query.TraceID(s.TraceId))
	}
	f.write(msgs...)
	until := time.Unix(0, scaleBase+1)
	for name, r := range map[string]query.Range{"no start": {End: until}, "ten days": {Start: until.AddDate(0, 0, -10), End: until}, "no end": {Start: until.AddDate(0, 0, -10)}, "always": {}} {
		for _, limit := range []int{3, 20} {
			var got []query.TraceID
			for after := ""; ; {
				found, next, err := f.reader.Summaries(t.Context(), "acme", query.Search{Range: r, Limit: limit, After: after})
				require.NoError(t, err)
				for _, s := range found {
					got = append(got, s.TraceID)
				}
				if after = next; after == "" {
					break
				}
			}
			require.Equal(t, want, got, "%s, %d a page", name, limit)
		}
	}
}

func TestTraceIsCutHonestly(t *testing.T) {
	f := setup(t, query.Limits{MaxSpans: 25, PartBytes: 2000})
	data := tracetest.Realistic(rand.New(rand.NewPCG(4, 4)), scaleBase)
	id := data.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceId
	var starts []uint64
	for _, rs := range data.ResourceSpans {
		for _, s := range rs.ScopeSpans[0].Spans {
			s.TraceId = id
			starts = append(starts, s.StartTimeUnixNano)
		}
	}
	slices.Sort(starts)
	f.write(f.message("acme", data))
	read := func() (got []uint64, parts int, truncated bool) {
		require.NoError(t, f.reader.Trace(t.Context(), "acme", query.TraceID(id), func(p query.Part) error {
			require.False(t, truncated, "nothing comes after the part that says so")
			truncated = p.Truncated
			parts++
			data := &tracev1.TracesData{}
			require.NoError(t, proto.Unmarshal(p.Traces, data))
			for _, rs := range tracetest.Canonical(data) {
				got = append(got, rs.ScopeSpans[0].Spans[0].StartTimeUnixNano)
			}
			return nil
		}))
		slices.Sort(got)
		return got, parts, truncated
	}
	got, parts, truncated := read()
	require.Equal(t, starts[:25], got, "the first by start time")
	require.True(t, truncated)
	require.Greater(t, parts, 3)
}

func TestWrongQuestions(t *testing.T) {
	f := setup(t, query.Limits{})
	ctx := context.Background()
	for name, s := range map[string]query.Search{
		"limit":     {Limit: -1},
		"durations": {MinDuration: 2, MaxDuration: 1},
		"times":     {Range: query.Range{Start: time.Unix(2, 0), End: time.Unix(1, 0)}},
		"token":     {After: "nonsense"},
		"forged":    {After: "1y.zz"},
	} {
		_, _, err := f.reader.Summaries(ctx, "acme", s)
		require.ErrorIs(t, err, fault.Invalid, name)
	}
	_, _, err := f.reader.Operations(ctx, "acme", "a", "sideways")
	require.ErrorIs(t, err, fault.Invalid)
	for _, id := range []string{"", "12", "zz5fb69a0000000000000000000000zz", "0123456789abcdef0123456789abcdef0"} {
		_, err := query.ParseTraceID(id)
		require.ErrorIs(t, err, fault.Invalid, id)
	}
	short, err := query.ParseTraceID("0123456789abcdef")
	require.NoError(t, err)
	require.Equal(t, "00000000000000000123456789abcdef", short.String())
	err = f.reader.Trace(ctx, "acme", short, func(query.Part) error { return nil })
	require.ErrorIs(t, err, fault.NotFound)
}

func TestNames(t *testing.T) {
	f := setup(t, query.Limits{})
	f.write(f.message("acme", tracetest.Realistic(rand.New(rand.NewPCG(4, 4)), scaleBase)))
	services, truncated, err := f.reader.Services(t.Context(), "acme")
	require.NoError(t, err)
	require.False(t, truncated)
	require.Equal(t, []string{"service-0", "service-1", "service-2", "service-3"}, services)
	all, _, err := f.reader.Operations(t.Context(), "acme", "service-0", "")
	require.NoError(t, err)
	require.Len(t, all, 25, "25 spans, none with name and kind of another")
	require.Equal(t, query.Operation{Name: "GET /api/v0/orders/{id}", Kind: "internal"}, all[0])
	producers, _, err := f.reader.Operations(t.Context(), "acme", "service-0", "Producer")
	require.NoError(t, err)
	require.Len(t, producers, 5)
	for _, o := range producers {
		require.Equal(t, "producer", o.Kind)
	}
	none, _, err := f.reader.Services(t.Context(), "other")
	require.NoError(t, err)
	require.Empty(t, none)
}

// TestConventionView: the view has the names, types and values of the
// Collector's exporter.
func TestConventionView(t *testing.T) {
	f := setup(t, query.Limits{})
	data := tracetest.Realistic(rand.New(rand.NewPCG(4, 4)), scaleBase)
	s := data.ResourceSpans[0].ScopeSpans[0].Spans[0]
	s.Status = &tracev1.Status{Code: tracev1.Status_STATUS_CODE_ERROR, Message: "boom"}
	s.Events = []*tracev1.Span_Event{{TimeUnixNano: scaleBase + 5, Name: "exception", Attributes: s.Attributes[:1]}}
	s.Links = []*tracev1.Span_Link{{TraceId: s.TraceId, SpanId: s.SpanId, TraceState: "a=b"}}
	m := f.message("acme", data)
	f.write(m)
	f.write(m)
	var (
		parent, kind, status, message, service, host, method, scope, link, event, eventMethod string
		start                                                                                 time.Time
		duration, rows                                                                        uint64
	)
	id := query.TraceID(s.TraceId)
	require.NoError(t, f.db.QueryRow(t.Context(), `SELECT ParentSpanId, SpanKind, StatusCode, StatusMessage, ServiceName,
    ResourceAttributes['host.name'], SpanAttributes['http.request.method'], ScopeName, Links.TraceId[1], Events.Name[1],
    Events.Attributes[1]['http.request.method'], Timestamp, Duration, count() OVER ()
FROM otel_traces WHERE TraceId = {id:String} AND ParentSpanId = ''`, clickhouse.Named("id", id.String())).Scan(
		&parent, &kind, &status, &message, &service, &host, &method, &scope, &link, &event, &eventMethod, &start, &duration, &rows))
	require.Equal(t, uint64(1), rows)
	require.Equal(t, []string{"", "Internal", "Error", "boom", "service-0", "node-17.eu-central.example", "GET",
		"go.opentelemetry.io/contrib/net/http", id.String(), "exception", "GET"},
		[]string{parent, kind, status, message, service, host, method, scope, link, event, eventMethod})
	require.Equal(t, int64(scaleBase), start.UnixNano())
	require.Equal(t, s.EndTimeUnixNano-s.StartTimeUnixNano, duration)
}
