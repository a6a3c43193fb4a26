package chunk_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/chunk"
	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

func times(texts ...string) *table.Column {
	c := &table.Column{Column: profile.Column{Name: "at", Type: profile.String, Texts: texts, Missing: make([]bool, len(texts))}}
	for i, text := range texts {
		c.Missing[i] = text == ""
	}
	return c
}

func by(t *testing.T, text, zone string) (chunk.By, *table.TimeFormat) {
	t.Helper()
	format, err := table.NewTimeFormat("", zone)
	require.NoError(t, err)
	b, err := chunk.ParseBy(text, format.Zone())
	require.NoError(t, err)
	return b, format
}

// Rows are cut by the calendar of a zone, in the order of time whatever theirs.
func TestCutByCalendar(t *testing.T) {
	t.Parallel()
	column := times("2026-03-31T22:30:00Z", "2025-12-31 23:59:59", "2026-01-01", "2026-03-29T12:00:00Z", "2026-01-04 23:59:59.9")
	for text, want := range map[string]map[string][]int{
		"hour":    {"2025-12-31 23:00": {1}, "2026-01-01 00:00": {2}, "2026-01-04 23:00": {4}, "2026-03-29 14:00": {3}, "2026-04-01 00:00": {0}},
		"day":     {"2025-12-31": {1}, "2026-01-01": {2}, "2026-01-04": {4}, "2026-03-29": {3}, "2026-04-01": {0}},
		"week":    {"2026-W01": {1, 2, 4}, "2026-W13": {3}, "2026-W14": {0}},
		"month":   {"2025-12": {1}, "2026-01": {2, 4}, "2026-03": {3}, "2026-04": {0}},
		"quarter": {"2025-Q4": {1}, "2026-Q1": {2, 3, 4}, "2026-Q2": {0}},
		"year":    {"2025": {1}, "2026": {0, 2, 3, 4}},
	} {
		b, format := by(t, text, "Europe/Rome")
		cut, err := b.Times(column, format)
		require.NoError(t, err)
		got := map[string][]int{}
		for row := range column.Len() {
			label := cut.Chunks[cut.Of(row)].Label
			got[label] = append(got[label], row)
		}
		require.Equal(t, want, got, text)
		var before time.Time
		for _, c := range cut.Chunks {
			require.True(t, before.Before(c.End) && !c.Start.Before(before), "%s: %v", text, cut.Chunks)
			require.Equal(t, len(want[c.Label]), c.Rows)
			before = c.End
		}
	}
	// The day on which clocks go forward has 23 hours.
	b, format := by(t, "day", "Europe/Rome")
	cut, err := b.Times(times("2026-03-29"), format)
	require.NoError(t, err)
	require.Equal(t, 23*time.Hour, cut.Chunks[0].End.Sub(cut.Chunks[0].Start))

	_, err = b.Times(times("2026-03-29", ""), format)
	require.EqualError(t, err, `column "at": row 2: the row has no time (TIME)`)
	_, err = b.Times(times("later"), format)
	require.ErrorContains(t, err, `row 1: "later" is no time`)
}

func TestCutByNumber(t *testing.T) {
	t.Parallel()
	b, _ := by(t, "4", "UTC")
	cut, err := b.Count(10)
	require.NoError(t, err)
	require.Equal(t, []chunk.Chunk{{Label: "rows 1 to 4", Rows: 4}, {Label: "rows 5 to 8", Rows: 4}, {Label: "rows 9 to 10", Rows: 2, Partial: true}}, cut.Chunks)
	require.Equal(t, [3]int{0, 1, 2}, [3]int{cut.Of(3), cut.Of(4), cut.Of(9)})
	_, err = b.Count(4*chunk.Most + 1)
	require.ErrorIs(t, err, fault.Invalid)
	whole, _ := by(t, "", "UTC")
	cut, err = whole.Count(3)
	require.NoError(t, err)
	require.Equal(t, []chunk.Chunk{{Label: "all", Rows: 3}}, cut.Chunks)
	for _, wrong := range []string{"0", "-1", "fortnight", "1.5"} {
		_, err := chunk.ParseBy(wrong, time.UTC)
		require.ErrorIs(t, err, fault.Invalid, wrong)
	}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	b, _ := by(t, "month", "Europe/Rome")
	spans, err := b.Spans(time.Date(2025, 12, 31, 23, 30, 0, 0, time.UTC), time.Date(2026, 2, 28, 23, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	require.Len(t, spans, 2, "the end is no part of a month of its own")
	require.Equal(t, "2026-01", spans[0].Label)
	require.True(t, spans[0].End.Equal(spans[1].Start))
	hours, _ := by(t, "hour", "UTC")
	_, err = hours.Spans(time.Unix(0, 0), time.Now())
	require.ErrorIs(t, err, fault.Invalid)
}
