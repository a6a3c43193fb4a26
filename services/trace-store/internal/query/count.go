package query

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
)

// Count says what is counted: the spans that match a search, whose Range must have
// both ends, by when they start, how long they take, service and operation.
type Count struct {
	Search
	// Times is in how many parts the time is cut; 0 is 60.
	Times int
	// Durations is how many rows of durations there are at most; 0 is 20.
	Durations int
	// Top is how many services and operations are named; 0 is 10.
	Top int
}

// Counted is what a Count found, each span once, in the version that stands.
type Counted struct {
	Total Tally
	// Sampled is 1 when every number is exact. Else one trace of so many was
	// counted, whichever a hash of its id says, and numbers are multiplied by it.
	Sampled uint64
	// Step is how long a part of the time is: whole milliseconds.
	Step time.Duration
	// Rows are from the shortest durations to the longest.
	Rows []DurationRow
	// Services and Operations are those with most spans first.
	Services, Operations         []NamedTally
	MoreServices, MoreOperations bool
}

// Tally counts spans, those with the status ERROR, and the traces of both.
type Tally struct{ Spans, Errors, Traces, ErrorTraces uint64 }

// NamedTally is the tally of a service or an operation.
type NamedTally struct {
	Name string
	Tally
}

// DurationRow is the spans that take From or longer, but less than To, over time.
type DurationRow struct {
	From          time.Duration
	To            time.Duration // 0 for no end
	Spans, Errors []uint64
}

const (
	maxTimes     = 120
	minDurations = 4
	maxDurations = 40
	maxTop       = 100
	// maxSets bounds the cells, services and operations that the engine gives, each.
	maxSets = 10_000
)

// Count counts. The error is fault.Invalid for what is asked for wrongly, and
// fault.Exhausted when the store has no room for it.
func (q *Reader) Count(ctx context.Context, tenant string, c Count) (*Counted, error) {
	c.Times, c.Durations, c.Top = cmp.Or(c.Times, 60), cmp.Or(c.Durations, 20), cmp.Or(c.Top, 10)
	if err := c.check(); err != nil {
		return nil, err
	}
	select {
	case q.measuring <- struct{}{}:
		defer func() { <-q.measuring }()
	case <-ctx.Done():
		return nil, clickhouse.Classify(ctx.Err())
	}
	out := &Counted{Sampled: 1, Step: stepOf(c.Range.End.Sub(c.Range.Start), c.Times)}
	w, matching := c.versions(tenant)
	w.arg("near", nanos(c.Range.Start.Add(-moved)))
	w.arg("until", nanos(c.Range.End.Add(moved)))
	most := uint64(q.limits.CountRows) //nolint:gosec // not negative
	beside, err := q.about(ctx, " FROM span_index "+w.any()+" AND "+nearTime, w.args, 4*most)
	if err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	many := beside > 4*most
	var rows uint64
	var oldest int64
	if many && c.whole() {
		rows, err = q.about(ctx, " FROM span_index "+w.any()+" AND "+matching, w.args, 0)
	} else {
		rows, oldest, err = q.rowsOf(ctx, w, matching)
	}
	if err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	if rows == 0 {
		return out, nil
	}
	out.Sampled = oneOf(rows, most)
	w.arg("oldest", oldest)
	w.arg("sampled", out.Sampled)
	w.arg("start", nanos(c.Range.Start))
	w.arg("step", out.Step.Nanoseconds())
	w.arg("bounds", durationBounds)
	w.arg("sets", uint64(maxSets))
	later := !many && out.Sampled == 1 // where that takes reading little
	g := &gridding{times: c.Times, top: c.Top, out: out, cells: map[[2]int]Tally{}}
	if err := q.count(ctx, countSQL(w, matching, later), w.args, g); err != nil {
		return nil, tooMany(err, "count", "there are too many spans in this time: ask for a shorter one, or for fewer services")
	}
	g.finish(c.Durations)
	return out, nil
}

func (c *Count) check() error {
	if err := c.Search.check(); err != nil {
		return err
	}
	start, end := c.Range.Start, c.Range.End
	switch {
	case start.IsZero() || end.IsZero():
		return fault.Invalid.New("start_time and end_time are required")
	case start.Year() < 1970 || end.Year() > 2261: // nanoseconds have no more room
		return fault.Invalid.New("start_time and end_time must be from 1970 to 2261")
	case end.Sub(start) > maxMeasuredTime:
		return fault.Invalid.New("start_time and end_time are more than %d days apart", maxMeasuredTime/(24*time.Hour))
	case c.Times < 1 || c.Times > maxTimes:
		return fault.Invalid.New("time_buckets must be from 1 to %d, not %d", maxTimes, c.Times)
	case c.Durations < minDurations || c.Durations > maxDurations:
		return fault.Invalid.New("duration_buckets must be from %d to %d, not %d", minDurations, maxDurations, c.Durations)
	case c.Top < 1 || c.Top > maxTop:
		return fault.Invalid.New("top must be from 1 to %d, not %d", maxTop, c.Top)
	}
	return nil
}

// stepOf is the shortest of whole milliseconds of which n cover a time.
func stepOf(d time.Duration, n int) time.Duration {
	step := (d + time.Duration(n) - 1) / time.Duration(n)
	return max((step + time.Millisecond - 1).Truncate(time.Millisecond), time.Millisecond)
}

// versions is what holds for every version of a span that matches, and what holds
// for the one that matches, by the rows of span_index.
func (s *Search) versions(tenant string) (w *where, matching string) {
	w = newWhere(tenant)
	m := &where{}
	rest := *s
	if s.Service != "" { // versions are of one service: see Twin
		w.service(s.Service)
		rest.Service = ""
	}
	if len(s.Traces) > 0 {
		w.traceIDs(s.Traces)
	}
	if !s.Range.Start.IsZero() {
		w.add("ReceivedAt >= fromUnixTimestamp64Nano({since:Int64})")
		w.arg("since", nanos(s.Range.Start.Add(-store.MaxAhead)))
	}
	rest.filters(m)
	rest.attributes(m, tokenCondition)
	w.args = append(w.args, m.args...)
	return w, cmp.Or(strings.Join(m.conditions, " AND "), "1")
}

// tokenCondition is indexCondition without spans that only could be without error.
func tokenCondition(w *where, i int, a Attribute) string {
	if noError(a.Key, a.Text) {
		return "NOT " + indexCondition(w, i, Attribute{a.Key, "true"})
	}
	return indexCondition(w, i, a)
}

// whole tells that a search is for all spans of a time, or all of a service.
func (s *Search) whole() bool {
	return s.Operation == "" && len(s.Attributes) == 0 && len(s.Any) == 0 && len(s.Traces) == 0 && s.MinDuration == 0 && s.MaxDuration == 0
}

// rowsOf is how many rows match, and when the first of them was accepted.
func (q *Reader) rowsOf(ctx context.Context, w *where, matching string) (rows uint64, oldest int64, err error) {
	err = q.row(ctx, "SELECT count(), toUnixTimestamp64Nano(min(ReceivedAt)) FROM span_index "+w.any()+" AND "+matching, w.args, &rows, &oldest)
	return rows, oldest, err
}

// moved is how far from the time a later version of a span is looked for.
const moved = time.Hour

const nearTime = "Timestamp >= fromUnixTimestamp64Nano({near:Int64}) AND Timestamp < fromUnixTimestamp64Nano({until:Int64})"

// countSQL counts spans in their last version, like Measure: it looks for later
// versions of those that match near the time too. If not to do that, or of a sample, it
// counts the last of the versions that match. Samples are of whole traces.
func countSQL(w *where, matching string, later bool) string {
	const identity = "cityHash64(TraceId, SpanId, Twin)"
	of := " FROM span_index " + w.any()
	which := matching + " AND cityHash64(TraceId) % {sampled:UInt64} = 0"
	if later {
		which = `(` + matching + ` OR ReceivedAt >= fromUnixTimestamp64Nano({oldest:Int64}) AND ` + nearTime + `
                AND ` + identity + ` IN (SELECT ` + identity + of + ` AND ` + matching + `))`
	}
	return `SELECT grouping(Part), grouping(Service), grouping(Operation), Part, Row, Service, Operation,
    count(), countIf(StatusCode = 2), uniqExact(Trace), uniqExactIf(Trace, StatusCode = 2)
FROM (
    SELECT intDiv(toUnixTimestamp64Nano(Timestamp) - {start:Int64}, {step:Int64}) AS Part,
        roundDown(if(Duration > 9223372036854775807, 0, Duration), {bounds:Array(UInt64)}) AS Row,
        ServiceName AS Service, SpanName AS Operation, StatusCode, cityHash64(TraceId) AS Trace
    FROM (
        SELECT TraceId, ServiceName, SpanName, StatusCode, Duration, Timestamp, ` + matching + ` AS Matching` + of + `
            AND ` + which + `
        ORDER BY ReceivedAt DESC
        LIMIT 1 BY ` + identity + `
    )
    WHERE Matching
)
GROUP BY GROUPING SETS ((Part, Row), (Service), (Operation), ())
ORDER BY count() DESC, Service, Operation
LIMIT {sets:UInt64} BY grouping(Part), grouping(Service), grouping(Operation)`
}

func (q *Reader) count(ctx context.Context, sql string, args []any, g *gridding) error {
	rows, err := q.queryWith(ctx, clickhousego.Settings{
		"max_memory_usage":               q.limits.MeasureMemory,
		"max_bytes_before_external_sort": q.limits.MeasureMemory / 5,
	}, sql, args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var noPart, noService, noOperation uint64
		var part int64
		var row uint64
		var service, operation string
		var t Tally
		if err := rows.Scan(&noPart, &noService, &noOperation, &part, &row, &service, &operation, &t.Spans, &t.Errors, &t.Traces, &t.ErrorTraces); err != nil {
			return err
		}
		switch t.times(g.out.Sampled); {
		case noPart == 0:
			g.cell(int(part), row, t)
		case noService == 0:
			g.name(&g.out.Services, &g.out.MoreServices, cmp.Or(service, MissingService), t)
		case noOperation == 0:
			g.name(&g.out.Operations, &g.out.MoreOperations, operation, t)
		default:
			g.out.Total = t
		}
	}
	return rows.Err()
}

func (t *Tally) times(n uint64) {
	t.Spans *= n
	t.Errors *= n
	t.Traces *= n
	t.ErrorTraces *= n
}

// durationBounds cut durations in nanoseconds as finely as they ever are: below a
// microsecond not at all, then each ten times as long in perTen, to three digits, up to 100,000 s.
var durationBounds = func() []uint64 {
	bounds := []uint64{0}
	at := uint64(time.Microsecond)
	for ; at < uint64(100_000*time.Second); at *= 10 {
		for i := range perTen {
			bounds = append(bounds, uint64(math.Round(100*math.Pow(10, float64(i)/perTen)))*at/100)
		}
	}
	return append(bounds, at)
}()

const perTen = 6

// gridding puts together what the engine counted.
type gridding struct {
	times, top int
	out        *Counted
	cells      map[[2]int]Tally // by index of durationBounds and part of the time
}

func (g *gridding) cell(part int, row uint64, t Tally) {
	i, _ := slices.BinarySearch(durationBounds, row)
	g.cells[[2]int{i, part}] = t
}

func (g *gridding) name(to *[]NamedTally, more *bool, name string, t Tally) {
	if len(*to) == g.top {
		*more = true
		return
	}
	*to = append(*to, NamedTally{name, t})
}

// finish makes rows of the cells: as fine ones as there may be.
func (g *gridding) finish(most int) {
	if len(g.cells) == 0 {
		return
	}
	first, last := len(durationBounds), 0
	for at := range g.cells {
		first, last = min(first, at[0]), max(last, at[0])
	}
	for _, width := range []int{1, 2, 3, perTen, 2 * perTen, 4 * perTen, len(durationBounds)} {
		row := func(i int) int { // the one below a microsecond stays alone
			if i == 0 {
				return 0
			}
			return 1 + (i-1)/width
		}
		bound := func(row int) time.Duration {
			if i := 1 + (row-1)*width; row == 0 || i >= len(durationBounds) {
				return 0
			} else {
				return time.Duration(durationBounds[i]) //nolint:gosec // bounded
			}
		}
		if n := row(last) - row(first) + 1; n > most {
			continue
		}
		for i := row(first); i <= row(last); i++ {
			g.out.Rows = append(g.out.Rows, DurationRow{
				From: bound(i), To: bound(i + 1), Spans: make([]uint64, g.times), Errors: make([]uint64, g.times),
			})
		}
		for at, t := range g.cells {
			to := &g.out.Rows[row(at[0])-row(first)]
			to.Spans[at[1]] += t.Spans
			to.Errors[at[1]] += t.Errors
		}
		return
	}
}
