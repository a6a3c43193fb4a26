package query_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
)

func failed(s *tracev1.Span) bool {
	return s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR
}

func lasts(s *tracev1.Span) time.Duration {
	return time.Duration(s.EndTimeUnixNano - s.StartTimeUnixNano)
}

// matches is the plain meaning of a search, for what these tests ask.
func matches(s query.Search, span sentSpan) bool {
	start := time.Unix(0, int64(span.StartTimeUnixNano))
	for key, want := range s.Attributes {
		have := attribute(span.Attributes, key) == want
		if key == "error" {
			have = (failed(span.Span) || attribute(span.Attributes, "error") == "true") == (want == "true")
		}
		if !have {
			return false
		}
	}
	return (s.Service == "" || s.Service == cmp.Or(span.service, query.MissingService)) && (s.Operation == "" || s.Operation == span.Name) &&
		(s.Range.Start.IsZero() || !start.Before(s.Range.Start)) && (s.Range.End.IsZero() || start.Before(s.Range.End)) &&
		lasts(span.Span) >= s.MinDuration && (s.MaxDuration == 0 || lasts(span.Span) <= s.MaxDuration)
}

// tallied counts spans one by one, each times so often.
func tallied(spans []sentSpan, times uint64) query.Tally {
	var t query.Tally
	all, bad := map[string]bool{}, map[string]bool{}
	for _, s := range spans {
		t.Spans += times
		all[string(s.TraceId)] = true
		if failed(s.Span) {
			t.Errors += times
			bad[string(s.TraceId)] = true
		}
	}
	t.Traces, t.ErrorTraces = uint64(len(all))*times, uint64(len(bad))*times
	return t
}

// named are the tallies of spans by a name, those with most spans first.
func named(spans []sentSpan, times uint64, name func(sentSpan) string) []query.NamedTally {
	by := map[string][]sentSpan{}
	for _, s := range spans {
		by[name(s)] = append(by[name(s)], s)
	}
	var out []query.NamedTally
	for n, list := range by {
		out = append(out, query.NamedTally{Name: n, Tally: tallied(list, times)})
	}
	return sortedByName(out)
}

func sortedByName(list []query.NamedTally) []query.NamedTally {
	slices.SortFunc(list, func(a, b query.NamedTally) int {
		return cmp.Or(cmp.Compare(b.Spans, a.Spans), cmp.Compare(a.Name, b.Name))
	})
	return list
}

func requireCounted(t *testing.T, c query.Count, spans []sentSpan, got *query.Counted) {
	t.Helper()
	require.Equal(t, tallied(spans, got.Sampled), got.Total)
	require.Equal(t, named(spans, got.Sampled, func(s sentSpan) string { return cmp.Or(s.service, query.MissingService) }), sortedByName(got.Services))
	require.Equal(t, named(spans, got.Sampled, func(s sentSpan) string { return s.Name }), got.Operations)
	require.LessOrEqual(t, len(got.Rows), cmp.Or(c.Durations, 20))
	seen := 0
	for i, r := range got.Rows {
		require.Len(t, r.Spans, cmp.Or(c.Times, 60))
		require.Len(t, r.Errors, len(r.Spans))
		if i > 0 {
			require.Equal(t, got.Rows[i-1].To, r.From, "rows follow one another")
		}
		within := 0
		for part := range r.Spans {
			start := c.Range.Start.Add(time.Duration(part) * got.Step)
			var spansHere, errorsHere uint64
			for _, s := range spans {
				at := time.Unix(0, int64(s.StartTimeUnixNano))
				if at.Before(start) || !at.Before(start.Add(got.Step)) || lasts(s.Span) < r.From || r.To > 0 && lasts(s.Span) >= r.To {
					continue
				}
				spansHere += got.Sampled
				seen, within = seen+1, within+1
				if failed(s.Span) {
					errorsHere += got.Sampled
				}
			}
			require.Equal(t, spansHere, r.Spans[part], "spans from %s in part %d", r.From, part)
			require.Equal(t, errorsHere, r.Errors[part], "errors from %s in part %d", r.From, part)
		}
		if i == 0 || i == len(got.Rows)-1 {
			require.Positive(t, within, "the first and the last row have spans")
		}
	}
	require.Equal(t, len(spans), seen, "every span is in a row")
}

func counts(minutes int) query.Search {
	at := time.Unix(0, scaleBase)
	return query.Search{Range: query.Range{Start: at.Add(-time.Duration(minutes) * time.Minute), End: at.Add(time.Duration(minutes) * time.Minute)}}
}

// TestCount: every number is that of looking at each span, for spans that come twice,
// come again otherwise and share their ids.
func TestCount(t *testing.T) {
	f := setup(t, query.Limits{})
	for _, table := range []string{"spans", "span_index"} {
		require.NoError(t, f.db.Exec(t.Context(), "SYSTEM STOP MERGES "+table))
	}
	last := f.sendSpans(rand.New(rand.NewPCG(3, 10)))
	for name, change := range map[string]func(*query.Count){
		"everything":            func(*query.Count) {},
		"few and coarse":        func(c *query.Count) { c.Times, c.Durations = 7, 4 },
		"many and fine":         func(c *query.Count) { c.Times, c.Durations = 120, 40 },
		"a part of the time":    func(c *query.Count) { c.Range = counts(7).Range },
		"longer than all":       func(c *query.Count) { c.Range = counts(3000).Range },
		"an operation":          func(c *query.Count) { c.Operation = "op 1" },
		"durations":             func(c *query.Count) { c.MinDuration, c.MaxDuration = 999, 10*time.Millisecond },
		"an attribute":          func(c *query.Count) { c.Attributes = map[string]string{"plan": "pro"} },
		"an odd attribute":      func(c *query.Count) { c.Attributes = map[string]string{"plan": `it's "quoted" \`} },
		"errors":                func(c *query.Count) { c.Attributes = map[string]string{"error": "true"} },
		"no errors":             func(c *query.Count) { c.Attributes = map[string]string{"error": "false", "plan": "free"} },
		"what was, but is gone": func(c *query.Count) { c.Attributes = map[string]string{"gone": "yes"} },
		"a name that was":       func(c *query.Count) { c.Operation = "before" },
	} {
		t.Run(name, func(t *testing.T) {
			for _, service := range append([]string{"", query.MissingService, "nobody"}, oddNames[:len(oddNames)-1]...) {
				c := query.Count{Search: counts(30)}
				change(&c)
				c.Service = service
				var want []sentSpan
				for _, s := range last {
					if matches(c.Search, s) {
						want = append(want, s)
					}
				}
				got, err := f.reader.Count(t.Context(), "acme", c)
				require.NoError(t, err)
				require.Equal(t, uint64(1), got.Sampled)
				requireCounted(t, c, want, got)
			}
		})
	}
	t.Run("another tenant", func(t *testing.T) {
		got, err := f.reader.Count(t.Context(), "other", query.Count{Search: counts(30)})
		require.NoError(t, err)
		require.Equal(t, query.Tally{Spans: 1, Traces: 1}, got.Total)
		got, err = f.reader.Count(t.Context(), "nobody", query.Count{Search: counts(30)})
		require.NoError(t, err)
		require.Zero(t, got.Total)
		require.Empty(t, got.Rows)
	})
	t.Run("the first few names", func(t *testing.T) {
		got, err := f.reader.Count(t.Context(), "acme", query.Count{Search: counts(30), Top: 2})
		require.NoError(t, err)
		require.Len(t, got.Services, 2)
		require.Len(t, got.Operations, 2)
		require.True(t, got.MoreServices && got.MoreOperations)
	})
	for most, one := range map[int]uint64{200: 8, 100: 16} { // more than twice, and than four times as many match
		t.Run(fmt.Sprintf("a sample is one in %d of whole traces", one), func(t *testing.T) {
			c := query.Count{Search: counts(30)}
			got, err := query.New(f.db, query.Limits{CountRows: most}).Count(t.Context(), "acme", c)
			require.NoError(t, err)
			require.Equal(t, one, got.Sampled)
			var want []sentSpan
			for _, s := range last {
				if f.count(fmt.Sprintf("SELECT toUInt64(cityHash64(toFixedString(unhex('%x'), 16)) %% %d)", s.TraceId, one)) == 0 && matches(c.Search, s) {
					want = append(want, s)
				}
			}
			require.NotEmpty(t, want)
			requireCounted(t, c, want, got)
		})
	}
}

// TestCountBounds: what is too much is refused with the field.
func TestCountBounds(t *testing.T) {
	f := setup(t, query.Limits{})
	for says, change := range map[string]func(*query.Count){
		"start_time and end_time are required": func(c *query.Count) { c.Range.End = time.Time{} },
		"366 days apart":                       func(c *query.Count) { c.Range.Start = c.Range.Start.AddDate(-2, 0, 0) },
		"from 1970 to 2261":                    func(c *query.Count) { c.Range.Start, c.Range.End = time.Unix(-1e9, 0), time.Unix(-1e9+1, 0) },
		"end_time is before start_time":        func(c *query.Count) { c.Range.End = c.Range.Start.Add(-1) },
		"time_buckets":                         func(c *query.Count) { c.Times = 121 },
		"duration_buckets":                     func(c *query.Count) { c.Durations = 3 },
		"top must be":                          func(c *query.Count) { c.Top = 101 },
		"at most 262144":                       func(c *query.Count) { c.Operation = strings.Repeat("é", 200_000) },
	} {
		t.Run(says, func(t *testing.T) {
			c := query.Count{Search: counts(30)}
			change(&c)
			_, err := f.reader.Count(t.Context(), "acme", c)
			require.ErrorIs(t, err, fault.Invalid)
			require.ErrorContains(t, err, says)
		})
	}
}
