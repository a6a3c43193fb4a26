package store

import (
	"context"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// SeriesQuery asks for statistics over time.
type SeriesQuery struct {
	Tenant, Profile string
	// Monitor is one, or empty for all; Feature is the position of one, or -1.
	Monitor string
	Feature int
	Trigger string
	// Start and End are the range of slots, which is cut into Points parts of equal
	// length; End is exclusive.
	Start, End time.Time
	Points     int
}

// SeriesPoint sums up the slots of a monitor and feature in one part of the
// range. Numbers that there are not are NaN.
type SeriesPoint struct {
	Monitor, Detector string
	Feature           int
	First, Last       time.Time
	Slots             uint64
	Min, Mean, Max    float64
	Drifted           uint64
	Insufficient      uint64
	Sample            uint64
	Threshold, Lower  float64
}

// Verdict is the worst of the slots: drift before insufficient before ok.
func (p *SeriesPoint) Verdict() score.Verdict {
	switch {
	case p.Drifted > 0:
		return score.Drift
	case p.Insufficient > 0:
		return score.Insufficient
	}
	return score.OK
}

// QuerySeries gives points ordered by monitor, feature and time. The mean of a
// point with many slots may differ in its last digit from one time to the next.
func (c *Cells) QuerySeries(ctx context.Context, q SeriesQuery) ([]SeriesPoint, error) {
	start, end := q.Start.UnixMicro(), q.End.UnixMicro()
	width := max((end-start+int64(q.Points)-1)/int64(q.Points), 1)
	rows, err := c.db.Query(ctx, `SELECT Monitor, Feature, argMax(Detector, Slot), min(At), max(At), count(),
			if(countIf(isFinite(Value)) = 0, nan, minIf(Value, isFinite(Value))), avgIf(Value, isFinite(Value)),
			if(countIf(isFinite(Value)) = 0, nan, maxIf(Value, isFinite(Value))),
			countIf(Verdict = 'drift'), countIf(Verdict = 'insufficient'), sum(Sample), argMax(Threshold, Slot), argMax(Lower, Slot)
		FROM (SELECT *, toUnixTimestamp64Micro(Slot) AS At FROM monitor_scores FINAL
			WHERE Tenant = {tenant:String} AND Profile = {profile:UUID} AND Trigger = {trigger:String}
				AND Slot >= fromUnixTimestamp64Micro({start:Int64}, 'UTC') AND Slot < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
				AND ({monitor:String} = '' OR Monitor = {monitor:String}) AND ({feature:Int32} < 0 OR Feature = {feature:Int32}))
		GROUP BY Monitor, Feature, intDiv(At - {start:Int64}, {width:Int64}) AS part
		ORDER BY Monitor, Feature, part`,
		clickhouse.Named("tenant", q.Tenant), clickhouse.Named("profile", q.Profile), clickhouse.Named("trigger", q.Trigger),
		clickhouse.Named("start", start), clickhouse.Named("end", end), clickhouse.Named("width", width),
		clickhouse.Named("monitor", q.Monitor), clickhouse.Named("feature", q.Feature))
	if err != nil {
		return nil, fmt.Errorf("query series: %w", err)
	}
	defer rows.Close()
	var points []SeriesPoint
	for rows.Next() {
		var p SeriesPoint
		var feature uint16
		var first, last int64
		if err := rows.Scan(&p.Monitor, &feature, &p.Detector, &first, &last, &p.Slots, &p.Min, &p.Mean, &p.Max,
			&p.Drifted, &p.Insufficient, &p.Sample, &p.Threshold, &p.Lower); err != nil {
			return nil, fmt.Errorf("read series: %w", err)
		}
		p.Feature, p.First, p.Last = int(feature), time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
		points = append(points, p)
	}
	return points, rows.Err()
}
