package query

import (
	"context"
	"fmt"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// Graph is who called whom, and what went over which topics of brokers.
type Graph struct {
	Nodes []GraphNode // sorted by place
	Edges []GraphEdge // sorted by places
	// OneIn: the figures are of one trace in so many, chosen by their ids.
	OneIn uint64
	// Spans is how many of the time were counted.
	Spans uint64
	// Truncated: there are more nodes or edges; these are called most.
	Truncated bool
}

// GraphPlace names a node of a graph.
type GraphPlace struct {
	Topic bool // else a service
	Name  string
	Mesh  bool // one of the mesh's own
}

// GraphNode is a service or a topic. A service's figures are of the spans by
// which it was entered, a topic's of those that sent to it.
type GraphNode struct {
	Place  GraphPlace
	System string // of a topic
	Figures
	Dwell Dwell
}

// GraphEdge is a call, or a message on its way to or from a topic.
type GraphEdge struct {
	From, To GraphPlace
	Figures
	Dwell Dwell
}

// Figures are counts of spans, and quantiles of their durations in nanoseconds;
// 0 without a span.
type Figures struct {
	Calls, Errors uint64
	P50, P95, P99 float64
}

// Dwell is how long messages waited in a broker, in nanoseconds.
type Dwell struct {
	Count       uint64 // of how many it is known
	Redelivered uint64
	P50, P95    float64
}

const (
	maxNodes = 1000
	maxEdges = 5000
)

// GraphQuestion says of what a graph is made.
type GraphQuestion struct {
	Range Range // both bounds
	// WithMesh takes in what the mesh traced of itself on the tenant's behalf.
	WithMesh bool
}

// Graph looks at the traces with spans that start within the time, or, where
// those have more than Limits.GraphSpans, at one in so many of them, and counts
// those of their spans that do. The error is fault.Invalid for no time and
// fault.Exhausted for traces of too many spans.
func (q *Reader) Graph(ctx context.Context, tenant string, of GraphQuestion) (*Graph, error) {
	switch {
	case of.Range.End.Before(of.Range.Start):
		return nil, fault.Invalid.New("end_time is before start_time")
	case of.Range.End.Sub(of.Range.Start) > maxMeasuredTime:
		return nil, fault.Invalid.New("the time from start_time to end_time is more than %d days", maxMeasuredTime/(24*time.Hour))
	}
	select {
	case q.measuring <- struct{}{}:
		defer func() { <-q.measuring }()
	case <-ctx.Done():
		return nil, clickhouse.Classify(ctx.Err())
	}
	oneIn, err := q.graphShare(ctx, tenant, of.Range)
	if err != nil {
		return nil, fmt.Errorf("count spans of a graph: %w", err)
	}
	b := newGraphBuilder()
	if err := q.readGraph(ctx, tenant, of, oneIn, b); err != nil {
		return nil, tooMany(err, "read a graph", "the traces of this time have too many spans: ask for a shorter time")
	}
	g := b.finish()
	g.OneIn = oneIn
	return g, nil
}

// graphShare is of how many traces one is looked at.
func (q *Reader) graphShare(ctx context.Context, tenant string, r Range) (uint64, error) {
	w := newWhere(tenant)
	w.timeRange("Timestamp", r)
	var spans uint64
	err := q.row(ctx, "SELECT count() FROM span_index "+w.any(), w.args, &spans)
	most := uint64(q.limits.GraphSpans)
	return max(1, (spans+most-1)/most), err
}

func (q *Reader) readGraph(ctx context.Context, tenant string, of GraphQuestion, oneIn uint64, b *graphBuilder) error {
	w := newWhere(tenant)
	if of.WithMesh {
		w = newWhereWithHops(tenant)
	} else {
		w.arg("mesh", event.Mesh)
	}
	w.arg("start", nanos(of.Range.Start))
	w.arg("end", nanos(of.Range.End))
	w.arg("one", int64(oneIn)) //nolint:gosec // a share of what one can store
	rows, err := q.queryWith(ctx, clickhousego.Settings{
		"max_memory_usage":                   q.limits.MeasureMemory,
		"max_bytes_before_external_group_by": q.limits.MeasureMemory / 4,
	}, graphSQL(w), w.args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var spans string
		var services, topics []string
		if err := rows.Scan(&spans, &services, &topics); err != nil {
			return err
		}
		b.trace(spans, services, topics)
	}
	return rows.Err()
}

// graphSQL gives for each trace with a span in the time the spans, each as
// graphSpanSize bytes, the names of the services, and the topics with their
// systems behind a zero.
func graphSQL(w *where) string {
	const (
		within = "Timestamp >= fromUnixTimestamp64Nano({start:Int64}) AND Timestamp < fromUnixTimestamp64Nano({end:Int64})"
		dwell  = "SpanAttributes['driftmesh.broker.dwell']"
	)
	return `SELECT arrayStringConcat(groupArray(concat(SpanId, ParentSpanId,
        reinterpretAsFixedString(xxHash64(ServiceName)), reinterpretAsFixedString(xxHash64(Topic)),
        reinterpretAsFixedString(toUnixTimestamp64Nano(Timestamp)),
        reinterpretAsFixedString(if(Duration > 9223372036854775807, 0, Duration)),
        reinterpretAsFixedString(if(Waited = '', toFloat64(-1), toFloat64OrZero(Waited))),
        reinterpretAsFixedString(toUInt8(SpanKind)),
        reinterpretAsFixedString(toUInt8((` + within + `) + 2 * (StatusCode = 2) + 4 * (Tenant = {mesh:String}) + 8 * (toUInt32OrZero(Attempt) > 1)))))),
    groupUniqArray(ServiceName), groupUniqArrayIf(concat(Topic, '\0', System), Topic != '')
FROM (
    SELECT Tenant, TraceId, SpanId, ParentSpanId, ServiceName, Timestamp, Duration, SpanKind, StatusCode,
        if(SpanKind IN (4, 5) OR Waited != '', if(SpanAttributes['messaging.destination.name'] != '',
            SpanAttributes['messaging.destination.name'], SpanAttributes['messaging.destination']), '') AS Topic,
        SpanAttributes['messaging.system'] AS System, SpanAttributes['driftmesh.broker.attempt'] AS Attempt, ` + dwell + ` AS Waited
    FROM spans FINAL ` + w.any() + ` AND TraceId IN (
        SELECT TraceId FROM span_index WHERE Tenant = {tenant:String} AND ` + within + ` AND cityHash64(TraceId) % {one:Int64} = 0)
)
GROUP BY TraceId`
}
