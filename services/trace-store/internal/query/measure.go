package query

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
)

// Measure says what is measured, and at which times: at From and every Step
// after it that is not after Until. A point looks at the spans that start
// within Window before it, the very time of the point left out.
type Measure struct {
	Services []string
	// Kinds are names of KindName; none means all.
	Kinds []string
	// ByOperation makes a series of each operation.
	ByOperation  bool
	From, Until  time.Time
	Step, Window time.Duration
	// Quantile of the durations, from 0 to 1; nil for none.
	Quantile *float64
}

// Series is a service, or an operation of it, at every point of a Measure.
type Series struct {
	Service, Operation string
	Calls, Errors      []uint64
	// Durations are in nanoseconds, NaN where there is no call; nil if no
	// quantile was asked for.
	Durations []float64
	// Duration is the quantile of all calls that count at some point.
	Duration float64
}

const (
	maxMeasured = 100       // services of one measure
	maxPoints   = 11_000    // of one series, as in Prometheus
	maxAnswer   = 1_000_000 // points of all series together
	// maxMeasuredTime is from the start of the first window to the last point.
	maxMeasuredTime = 366 * 24 * time.Hour
	// maxMeasures is how many are at work at a time. A page of Jaeger's interface
	// asks for eight at once.
	maxMeasures = 2
)

// Measure gives a series for each service, or each operation, that was called,
// sorted by service, then operation. Each span counts once, in the version that
// stands. The error is fault.Invalid for what has too many points and
// fault.Exhausted for what has too many spans.
func (q *Reader) Measure(ctx context.Context, tenant string, m Measure) ([]Series, error) {
	series, _, err := q.measured(ctx, tenant, m, math.MaxUint64)
	return series, err
}

// Estimate is the same, but of the versions of a span it knows those that start in the
// time. Where there are more spans than Limits.CountRows it looks at one of sampled spans,
// whichever a hash of its id says, and counts it as often; each of its versions too.
func (q *Reader) Estimate(ctx context.Context, tenant string, m Measure) (series []Series, sampled uint64, err error) {
	return q.measured(ctx, tenant, m, uint64(q.limits.CountRows)) //nolint:gosec // not negative
}

func (q *Reader) measured(ctx context.Context, tenant string, m Measure, most uint64) (series []Series, sampled uint64, err error) {
	kinds, err := m.check()
	if err != nil {
		return nil, 0, err
	}
	select {
	case q.measuring <- struct{}{}:
		defer func() { <-q.measuring }()
	case <-ctx.Done():
		return nil, 0, clickhouse.Classify(ctx.Err())
	}
	points := m.points()
	w := newWhere(tenant)
	w.services(m.Services)
	if len(kinds) > 0 {
		w.add("SpanKind IN {kinds:Array(Int32)}")
		w.arg("kinds", kinds)
	}
	start := m.From.Add(-m.Window)
	w.arg("since", nanos(start.Add(-store.MaxAhead)))
	w.arg("start", nanos(start))
	end := m.From.Add(time.Duration(points-1) * m.Step)
	w.arg("end", nanos(end))
	w.arg("near", nanos(start.Add(-moved)))
	w.arg("until", nanos(end.Add(moved)))
	w.arg("first", m.From.UnixNano())
	w.arg("step", m.Step.Nanoseconds())
	w.arg("window", m.Window.Nanoseconds())
	w.arg("points", int64(points))
	which, sampled := stands, uint64(1)
	if most < math.MaxUint64 {
		spans, err := q.about(ctx, " FROM span_index "+w.any()+" AND "+measuredTime, w.args, most)
		if err != nil {
			return nil, 0, fmt.Errorf("measure: %w", err)
		}
		which = standsWithin
		if sampled = oneOf(spans, most); sampled > 1 {
			which = some
		}
	}
	w.arg("sampled", sampled)
	b := &seriesSet{points: points, times: sampled, series: map[[2]string]*seriesSums{}}
	if err := q.measure(ctx, m.sql(w, which), w.args, b); err != nil {
		return nil, 0, tooMany(err, "measure", "there are too many spans in this time: ask for a shorter one, or for fewer services")
	}
	return b.finish(m.Quantile), sampled, nil
}

// about is how many rows there are, by what the index of the table says; they are
// counted where that may be on the other side of most, as the index counts what lies
// beside the time as well.
func (q *Reader) about(ctx context.Context, from string, args []any, most uint64) (total uint64, err error) {
	rows, err := q.query(ctx, "EXPLAIN ESTIMATE SELECT count()"+from, args)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var database, table string
		var parts, n, marks uint64
		if err := rows.Scan(&database, &table, &parts, &n, &marks); err != nil {
			return 0, err
		}
		total += n
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if total > most && total/4 < most {
		err = q.row(ctx, "SELECT count()"+from, args, &total)
	}
	return total, err
}

// oneOf is of how many rows one is looked at where at most so many are: 1 for all, or a
// power of two with which half as many are.
func oneOf(total, most uint64) uint64 {
	if total <= most {
		return 1
	}
	sampled := uint64(2)
	for total/sampled > most/2 {
		sampled *= 2
	}
	return sampled
}

func (m *Measure) check() (kinds []int32, err error) {
	switch {
	case len(m.Services) == 0 || len(m.Services) > maxMeasured:
		return nil, fault.Invalid.New("services must be from 1 to %d, not %d", maxMeasured, len(m.Services))
	case slices.Contains(m.Services, ""):
		return nil, fault.Invalid.New("a service has no name")
	case m.Step <= 0 || m.Window <= 0:
		return nil, fault.Invalid.New("step and window must be more than 0")
	case m.From.Year() < 1800 || m.Until.Year() > 2261: // nanoseconds have no more room
		return nil, fault.Invalid.New("start_time and end_time must be from 1800 to 2261")
	case m.Until.Before(m.From):
		return nil, fault.Invalid.New("end_time is before start_time")
	case m.Until.Sub(m.From) > maxMeasuredTime || m.Window > maxMeasuredTime || m.Until.Sub(m.From)+m.Window > maxMeasuredTime:
		return nil, fault.Invalid.New("the time from the first window to the last point is more than %d days", maxMeasuredTime/(24*time.Hour))
	case m.Until.Sub(m.From)/m.Step >= maxPoints:
		return nil, fault.Invalid.New("more than %d points: ask for a longer step", maxPoints)
	case m.Quantile != nil && !(*m.Quantile >= 0 && *m.Quantile <= 1):
		return nil, fault.Invalid.New("quantile must be from 0 to 1")
	}
	for _, name := range m.Kinds {
		kind, err := kindNumber(name)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

// measuredTime is when the spans start that are measured.
const measuredTime = "Timestamp >= fromUnixTimestamp64Nano({start:Int64}) AND Timestamp < fromUnixTimestamp64Nano({end:Int64})"

func (m *Measure) points() int { return int(m.Until.Sub(m.From)/m.Step) + 1 }

// versions are the rows of a span that are counted.
type versions int

const (
	stands       versions = iota // the last of all
	standsWithin                 // the last of those that start in the time
	some                         // all that start in the time, of a sample of spans
)

// sql counts the spans by the points that they count at, which are
// neighbours: from Since to before Till. It reads span_index alone, where a span
// that was sent again with another start has several rows. So besides those in
// the time that is measured it looks for later rows of the same spans near it, and
// leaves the last of each. A hash stands for the identity: a set of it is half
// as large, and sorts at half the cost. A sample does without: of ten million spans
// that is a third of the cost.
func (m *Measure) sql(w *where, which versions) string {
	const (
		within   = measuredTime
		identity = "cityHash64(TraceId, SpanId, Twin)"
	)
	of := " FROM span_index " + w.any() + "\n    AND ReceivedAt >= fromUnixTimestamp64Nano({since:Int64})"
	last := `
        ORDER BY ReceivedAt DESC
        LIMIT 1 BY ` + identity
	switch which {
	case stands:
		of += `
            AND (` + within + ` OR ` + nearTime + ` AND ReceivedAt >= (SELECT min(ReceivedAt)` + of + ` AND ` + within + `)
                AND ` + identity + ` IN (SELECT ` + identity + of + ` AND ` + within + `))`
	case standsWithin:
		of += " AND " + within
	case some:
		of += " AND " + within + " AND cityHash64(SpanId) % {sampled:UInt64} = 0"
		last = ""
	}
	name, durations := "''", "[]::Array(UInt64)"
	if m.ByOperation {
		name = "SpanName"
	}
	if m.Quantile != nil {
		durations = "groupArray(if(Duration > 9223372036854775807, 0, Duration))"
	}
	return `SELECT ServiceName, ` + name + ` AS Name, Since, Till, count(), countIf(StatusCode = 2), ` + durations + `
FROM (
    SELECT ServiceName, SpanName, StatusCode, Duration, toUnixTimestamp64Nano(Timestamp) AS At,
        if(At < {first:Int64}, 0, intDiv(At - {first:Int64}, {step:Int64}) + 1) AS Since,
        least(intDiv(At + {window:Int64} - {first:Int64}, {step:Int64}) + 1, {points:Int64}) AS Till
    FROM (
        SELECT ServiceName, SpanName, StatusCode, Duration, Timestamp` + of + last + `
    )
    WHERE ` + within + `
)
WHERE Since < Till
GROUP BY ServiceName, Name, Since, Till`
}

func (q *Reader) measure(ctx context.Context, sql string, args []any, b *seriesSet) error {
	rows, err := q.queryWith(ctx, clickhousego.Settings{
		"max_memory_usage": q.limits.MeasureMemory,
		// What is sorted may lie on disk: twice as many spans have room, at no
		// more CPU time.
		"max_bytes_before_external_sort": q.limits.MeasureMemory / 5,
	}, sql, args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var service, operation string
		var c cell
		if err := rows.Scan(&service, &operation, &c.since, &c.till, &c.calls, &c.errors, &c.durations); err != nil {
			return err
		}
		if err := b.add(cmp.Or(service, MissingService), operation, c); err != nil {
			return err
		}
	}
	return rows.Err()
}
