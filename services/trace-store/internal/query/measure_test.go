package query_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

// sentSpan is a span as a test sent it, the last time.
type sentSpan struct {
	service string
	*tracev1.Span
}

// slowly is the plain meaning of a Measure: at each point, look at every span.
func slowly(m query.Measure, spans []sentSpan) []query.Series {
	var out []query.Series
	for _, s := range spans {
		service, operation := cmp.Or(s.service, query.MissingService), ""
		if m.ByOperation {
			operation = s.Name
		}
		known := slices.ContainsFunc(out, func(have query.Series) bool { return have.Service == service && have.Operation == operation })
		if known || !slices.Contains(m.Services, service) {
			continue
		}
		series := query.Series{Service: service, Operation: operation}
		called := false
		counted := map[int]float64{} // the durations of those that count, by place
		for at := m.From; !at.After(m.Until); at = at.Add(m.Step) {
			var calls, errors uint64
			var durations []float64
			for i, c := range spans {
				start := time.Unix(0, int64(c.StartTimeUnixNano))
				if cmp.Or(c.service, query.MissingService) != service || m.ByOperation && c.Name != operation ||
					len(m.Kinds) > 0 && !slices.Contains(m.Kinds, query.KindName(int32(c.Kind))) ||
					start.Before(at.Add(-m.Window)) || !start.Before(at) {
					continue
				}
				calls++
				if c.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR {
					errors++
				}
				counted[i] = float64(c.EndTimeUnixNano - c.StartTimeUnixNano)
				durations = append(durations, counted[i])
			}
			called = called || calls > 0
			series.Calls, series.Errors = append(series.Calls, calls), append(series.Errors, errors)
			if m.Quantile != nil {
				series.Durations = append(series.Durations, slowQuantile(durations, *m.Quantile))
			}
		}
		if called {
			if m.Quantile != nil {
				series.Duration = slowQuantile(slices.Collect(maps.Values(counted)), *m.Quantile)
			}
			out = append(out, series)
		}
	}
	slices.SortFunc(out, func(a, b query.Series) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Operation, b.Operation))
	})
	return out
}

func slowQuantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	at := q * float64(len(values)-1)
	low, high := values[int(math.Floor(at))], values[int(math.Ceil(at))]
	return low + (high-low)*(at-math.Floor(at))
}

func requireSeries(t *testing.T, want, got []query.Series) {
	t.Helper()
	require.Len(t, got, len(want))
	for i, w := range want {
		g := got[i]
		require.Equal(t, w.Service, g.Service)
		require.Equal(t, w.Operation, g.Operation)
		require.Equal(t, w.Calls, g.Calls, "calls of %s %s", w.Service, w.Operation)
		require.Equal(t, w.Errors, g.Errors, "errors of %s %s", w.Service, w.Operation)
		require.InDelta(t, w.Duration, g.Duration, w.Duration*1e-12, "all of %s", w.Service)
		require.Len(t, g.Durations, len(w.Durations))
		for k, d := range w.Durations {
			if math.IsNaN(d) {
				require.True(t, math.IsNaN(g.Durations[k]), "point %d of %s", k, w.Service)
			} else {
				require.InDelta(t, d, g.Durations[k], d*1e-12, "point %d of %s", k, w.Service)
			}
		}
	}
}

// oddNames are services whose names ClickHouse must be given with care.
var oddNames = []string{"shop", "it's", `back\slash`, "tab\tand\nline", "a, b", "größe {x:String}", ""}

// sendSpans sends spans of several services, kinds and traces, some of them on the
// edges of minutes, that come twice, come again otherwise, and share their ids; and one
// of another tenant. It gives them as they were sent the last time.
func (f *fixture) sendSpans(r *rand.Rand) []sentSpan {
	const minute = uint64(time.Minute)
	var last []sentSpan
	send := func(spans []sentSpan) {
		msgs := make([]store.Message, len(spans))
		for i, s := range spans {
			msgs[i] = f.message("acme", spansOf(s.service, s.Span))
		}
		f.write(msgs...)
	}
	for i := range 150 {
		s := newSpan(fmt.Sprintf("span%04d", i), "", fmt.Sprintf("op %d", r.IntN(3)), tracev1.Span_SpanKind(r.IntN(6)), 0)
		s.TraceId = fmt.Appendf(nil, "a trace %02d,16 b.", r.IntN(40))
		s.StartTimeUnixNano = scaleBase - 20*minute + r.Uint64N(40)*minute // on the edges
		switch r.IntN(4) {
		case 0:
			s.StartTimeUnixNano += r.Uint64N(minute)
		case 1:
			s.StartTimeUnixNano += minute - 1 - r.Uint64N(1e9)
		}
		s.EndTimeUnixNano = s.StartTimeUnixNano + 1 + r.Uint64N(1e9)
		if r.IntN(3) == 0 { // on the edges of durations, and shorter than all of them
			s.EndTimeUnixNano = s.StartTimeUnixNano + []uint64{0, 1, 999, 1000, 1e6, 1e7, 1e7 - 1, 1e9, 3_160_000}[r.IntN(9)]
		}
		s.Status = &tracev1.Status{Code: tracev1.Status_StatusCode(r.IntN(3))}
		s.Attributes = []*commonv1.KeyValue{text("plan", []string{"pro", "free", "it's \"quoted\" \\"}[r.IntN(3)])}
		if r.IntN(5) == 0 {
			s.Attributes = append(s.Attributes, text("error", "true"))
		}
		last = append(last, sentSpan{oddNames[r.IntN(len(oddNames))], s})
	}
	first := make([]sentSpan, len(last))
	for i, s := range last { // as they were sent at first: now and then otherwise
		first[i] = sentSpan{s.service, &tracev1.Span{
			TraceId: s.TraceId, SpanId: s.SpanId, Name: s.Name, Kind: s.Kind, Status: s.Status, Attributes: s.Attributes,
			StartTimeUnixNano: s.StartTimeUnixNano, EndTimeUnixNano: s.EndTimeUnixNano,
		}}
		switch v := first[i].Span; r.IntN(7) {
		case 0:
			v.Name, v.Status, v.EndTimeUnixNano = "before", nil, v.StartTimeUnixNano+5
		case 1:
			v.StartTimeUnixNano += 7 * minute
			v.EndTimeUnixNano += 7 * minute
		case 2:
			v.StartTimeUnixNano -= 300 * minute
		case 3:
			v.StartTimeUnixNano += 300 * minute
			v.EndTimeUnixNano += 300 * minute
		case 4:
			v.Attributes = []*commonv1.KeyValue{text("plan", "pro"), text("gone", "yes")}
		}
	}
	twin := newSpan("span0000", "", "twin", asServer, 0) // of another service
	twin.TraceId = last[0].TraceId
	last = append(last, sentSpan{"twin", twin})
	send(first)
	send(last)
	send(last)
	f.write(f.message("other", spansOf("shop", newSpan("foreign1", "", "foreign", asServer, 0))))
	return last
}

// TestMeasure: every number is that of the plain meaning, for spans of several
// services and kinds, some of them on the edges of windows, that come twice,
// come again otherwise, and share their ids.
func TestMeasure(t *testing.T) {
	f := setup(t, query.Limits{})
	r := rand.New(rand.NewPCG(3, 9))
	for _, table := range []string{"spans", "span_index"} {
		require.NoError(t, f.db.Exec(t.Context(), "SYSTEM STOP MERGES "+table))
	}
	last := f.sendSpans(r)
	all := append([]string{query.MissingService, "twin", "nobody"}, oddNames[:len(oddNames)-1]...)
	at := func(minutes int) time.Time { return time.Unix(0, scaleBase).Add(time.Duration(minutes) * time.Minute) }
	half := 0.5
	for name, m := range map[string]query.Measure{
		"a window of ten steps":       {From: at(-10), Until: at(10), Step: time.Minute, Window: 10 * time.Minute},
		"a window of less than one":   {From: at(-10), Until: at(10), Step: time.Minute, Window: time.Second},
		"a window of three halves":    {From: at(-10), Until: at(10), Step: 2 * time.Minute, Window: 3 * time.Minute},
		"an odd step":                 {From: at(-10), Until: at(10), Step: 7777777 * time.Microsecond, Window: 13 * time.Minute},
		"one point":                   {From: at(3), Until: at(3), Step: time.Hour, Window: time.Hour},
		"an end between two points":   {From: at(-3), Until: at(4), Step: 3 * time.Minute, Window: 5 * time.Minute},
		"longer than there are spans": {From: at(-2000), Until: at(2000), Step: time.Hour, Window: 48 * time.Hour},
		"by operation":                {From: at(-10), Until: at(10), Step: time.Minute, Window: 5 * time.Minute, ByOperation: true},
		"one kind":                    {From: at(-10), Until: at(10), Step: time.Minute, Window: 5 * time.Minute, Kinds: []string{"server"}},
		"two kinds, by operation":     {From: at(-10), Until: at(10), Step: time.Minute, Window: 5 * time.Minute, Kinds: []string{"client", "unspecified"}, ByOperation: true},
	} {
		t.Run(name, func(t *testing.T) {
			m.Services = all
			for _, q := range []*float64{nil, new(float64), &half, func() *float64 { q := 0.95; return &q }(), func() *float64 { q := 1.0; return &q }()} {
				m.Quantile = q
				got, err := f.reader.Measure(t.Context(), "acme", m)
				require.NoError(t, err)
				want := slowly(m, last)
				require.NotEmpty(t, want)
				requireSeries(t, want, got)
			}
			for _, service := range all { // alone as well as together
				m.Services = []string{service}
				got, err := f.reader.Measure(t.Context(), "acme", m)
				require.NoError(t, err)
				requireSeries(t, slowly(m, last), got)
			}
		})
	}
}

// TestMeasureManyTimes: at random times, steps and windows.
func TestMeasureManyTimes(t *testing.T) {
	f := setup(t, query.Limits{})
	r := rand.New(rand.NewPCG(4, 4))
	data := tracetest.Realistic(r, scaleBase)
	var spans []sentSpan
	for i, rs := range data.ResourceSpans {
		for _, s := range rs.ScopeSpans[0].Spans {
			spans = append(spans, sentSpan{fmt.Sprintf("service-%d", i), s})
		}
	}
	f.write(f.message("acme", data), f.message("acme", data))
	for range 40 {
		q := r.Float64()
		from := time.Unix(0, scaleBase+r.Int64N(2e9)-1e9)
		m := query.Measure{
			Services: []string{"service-1", "service-3"}, ByOperation: r.IntN(2) == 0, From: from, Until: from.Add(time.Duration(r.Int64N(2e9))),
			Step: time.Duration(1e7 + r.Int64N(3e8)), Window: time.Duration(1 + r.Int64N(5e8)), Quantile: &q,
		}
		got, err := f.reader.Measure(t.Context(), "acme", m)
		require.NoError(t, err)
		requireSeries(t, slowly(m, spans), got)
	}
}

// TestMeasureBounds: what is too much is refused with the reason, and an empty
// store has no series.
func TestMeasureBounds(t *testing.T) {
	f := setup(t, query.Limits{})
	now := time.Unix(0, scaleBase)
	fine := query.Measure{Services: []string{"a"}, From: now.Add(-time.Hour), Until: now, Step: time.Minute, Window: time.Minute}
	got, err := f.reader.Measure(t.Context(), "acme", fine)
	require.NoError(t, err)
	require.Empty(t, got)
	nan, above := math.NaN(), 1.1
	for name, tt := range map[string]struct {
		change func(*query.Measure)
		says   string
	}{
		"no service":        {func(m *query.Measure) { m.Services = nil }, "services must be from 1 to 100, not 0"},
		"many services":     {func(m *query.Measure) { m.Services = make([]string, 101) }, "not 101"},
		"a nameless one":    {func(m *query.Measure) { m.Services = []string{"a", ""} }, "has no name"},
		"no step":           {func(m *query.Measure) { m.Step = 0 }, "more than 0"},
		"no window":         {func(m *query.Measure) { m.Window = 0 }, "more than 0"},
		"backwards":         {func(m *query.Measure) { m.Until = m.From.Add(-1) }, "before start_time"},
		"years":             {func(m *query.Measure) { m.From, m.Step = now.AddDate(-2, 0, 0), 24*time.Hour }, "366 days"},
		"a window of years": {func(m *query.Measure) { m.Window = math.MaxInt64 }, "366 days"},
		"beyond time":       {func(m *query.Measure) { m.Until = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC) }, "1800 to 2261"},
		"many points":       {func(m *query.Measure) { m.Step = time.Millisecond }, "11000 points"},
		"a strange kind":    {func(m *query.Measure) { m.Kinds = []string{"odd"} }, "span_kind"},
		"long names":        {func(m *query.Measure) { m.Services = []string{strings.Repeat("é", 200_000)} }, "at most 262144"},
		"no number":         {func(m *query.Measure) { m.Quantile = &nan }, "quantile"},
		"above 1":           {func(m *query.Measure) { m.Quantile = &above }, "quantile"},
	} {
		t.Run(name, func(t *testing.T) {
			m := fine
			tt.change(&m)
			_, err := f.reader.Measure(t.Context(), "acme", m)
			require.ErrorIs(t, err, fault.Invalid)
			require.ErrorContains(t, err, tt.says)
		})
	}
	t.Run("before 1970 and after all", func(t *testing.T) {
		for _, at := range []time.Time{time.Unix(0, 0), time.Date(1850, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2261, 12, 31, 0, 0, 0, 0, time.UTC)} {
			m := fine
			m.From, m.Until = at.Add(-time.Minute), at
			got, err := f.reader.Measure(t.Context(), "acme", m)
			require.NoError(t, err)
			require.Empty(t, got)
		}
	})
	t.Run("names as long as can be", func(t *testing.T) {
		m := fine
		m.Services = []string{strings.Repeat("é", 131_000)}
		got, err := f.reader.Measure(t.Context(), "acme", m)
		require.NoError(t, err)
		require.Empty(t, got)
		_, _, err = f.reader.Summaries(t.Context(), "acme", query.Search{Service: strings.Repeat("é", 200_000)})
		require.ErrorIs(t, err, fault.Invalid)
	})
	t.Run("too many series", func(t *testing.T) {
		data := spansOf("a")
		for i := range 95 {
			data.ResourceSpans[0].ScopeSpans[0].Spans = append(data.ResourceSpans[0].ScopeSpans[0].Spans,
				newSpan(fmt.Sprintf("span%04d", i), "", fmt.Sprintf("operation %d", i), asServer, 0))
		}
		f.write(f.message("acme", data))
		m := fine
		m.ByOperation, m.From, m.Until, m.Step = true, now.Add(-10_000*time.Second), now.Add(999*time.Second), time.Second
		_, err := f.reader.Measure(t.Context(), "acme", m)
		require.ErrorIs(t, err, fault.Invalid)
		require.ErrorContains(t, err, "1000000 points in all")
		m.Step = time.Minute
		got, err := f.reader.Measure(t.Context(), "acme", m)
		require.NoError(t, err)
		require.Len(t, got, 95)
	})
	t.Run("too many spans", func(t *testing.T) {
		many := spansOf("a")
		for i := range 20_000 {
			many.ResourceSpans[0].ScopeSpans[0].Spans = append(many.ResourceSpans[0].ScopeSpans[0].Spans, newSpan(fmt.Sprintf("%08d", i), "", "many", asServer, 0))
		}
		f.write(f.message("acme", many))
		small := query.New(f.db, query.Limits{MeasureMemory: 1 << 20})
		_, err := small.Measure(t.Context(), "acme", query.Measure{Services: []string{"a"}, From: now, Until: now.Add(time.Hour), Step: time.Minute, Window: time.Minute})
		require.ErrorIs(t, err, fault.Exhausted)
		require.ErrorContains(t, err, "too many spans in this time")
	})
	t.Run("given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := f.reader.Measure(ctx, "acme", fine)
		require.ErrorIs(t, err, fault.Canceled)
	})
}

// TestEstimate: where there are few spans, each counts once, in its last version; a sample
// is one of spans, in all that was sent of them, by a hash of their ids.
func TestEstimate(t *testing.T) {
	f := setup(t, query.Limits{})
	require.NoError(t, f.db.Exec(t.Context(), "SYSTEM STOP MERGES span_index"))
	last := f.sendSpans(rand.New(rand.NewPCG(3, 11)))
	half, at := 0.5, time.Unix(0, scaleBase)
	m := query.Measure{Services: []string{"shop", "it's", query.MissingService}, From: at.Add(-30 * time.Minute), Until: at.Add(30 * time.Minute), Step: time.Minute, Window: 5 * time.Minute, Quantile: &half}
	got, sampled, err := f.reader.Estimate(t.Context(), "acme", m)
	require.NoError(t, err)
	require.Equal(t, uint64(1), sampled)
	requireSeries(t, slowly(m, last), got)

	got, sampled, err = query.New(f.db, query.Limits{CountRows: 100}).Estimate(t.Context(), "acme", m)
	require.NoError(t, err)
	require.Equal(t, uint64(16), sampled, "there are more than 400")
	want := slowly(m, f.rows("Tenant = 'acme' AND cityHash64(SpanId) % 16 = 0"))
	require.NotEmpty(t, want)
	for i := range want {
		for k := range want[i].Calls {
			want[i].Calls[k] *= sampled
			want[i].Errors[k] *= sampled
		}
	}
	requireSeries(t, want, got)
}

// rows are those of span_index, as the spans that they are of.
func (f *fixture) rows(where string) (out []sentSpan) {
	rows, err := f.db.Query(f.t.Context(), "SELECT ServiceName, SpanName, SpanKind, StatusCode, toUInt64(toUnixTimestamp64Nano(Timestamp)), Duration FROM span_index WHERE "+where)
	require.NoError(f.t, err)
	defer rows.Close()
	for rows.Next() {
		var kind, code int32
		s := sentSpan{Span: &tracev1.Span{}}
		require.NoError(f.t, rows.Scan(&s.service, &s.Name, &kind, &code, &s.StartTimeUnixNano, &s.EndTimeUnixNano))
		s.EndTimeUnixNano += s.StartTimeUnixNano
		s.Kind, s.Status = tracev1.Span_SpanKind(kind), &tracev1.Status{Code: tracev1.Status_StatusCode(code)}
		out = append(out, s)
	}
	require.NoError(f.t, rows.Err())
	return out
}
