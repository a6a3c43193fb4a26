package store

import (
	"context"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// FeatureStep is what the cells of a feature add up to in one step of time.
type FeatureStep struct {
	Start   time.Time // of the step
	Feature int       // position in the profile
	Counts  []uint64  // of the regular bins
	States  []uint64  // of the special bins, in their order
	// Number finite numbers have this mean and standard deviation, of the sample. It
	// is 0 where they are not known: values that came counted have neither.
	Number       uint64
	Mean, StdDev float64
}

// Steps adds up the cells of a range in steps of some seconds, which begin at
// multiples of that since 1970; those without any are left out.
func (c *Cells) Steps(ctx context.Context, r Range, p *profile.Profile, seconds int64) (steps []FeatureStep, err error) {
	rows, err := c.db.Query(ctx, "SELECT intDiv(toInt64(toUnixTimestamp(Minute)), {step:Int64}) AS Step, Feature, sumForEach(Counts), min(bitAnd(Measured, {always:UInt8}))"+
		", (sumMap(Buckets, Sums, Squares) AS m).1, m.2, m.3"+inRange+"AND Records > 0 GROUP BY Step, Feature ORDER BY Step, Feature",
		append(r.args(), clickhouse.Named("step", seconds), clickhouse.Named("always", uint8(window.MeasuredAlways)))...)
	if err != nil {
		return nil, fmt.Errorf("sum cells by steps: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var step int64
		var feature uint16
		var measured uint8
		var of bucketRow
		one := FeatureStep{}
		if err := rows.Scan(append([]any{&step, &feature, &one.Counts, &measured}, of.into()...)...); err != nil {
			return nil, fmt.Errorf("read steps: %w", err)
		}
		if int(feature) >= len(p.Features) {
			continue
		}
		f := &p.Features[feature]
		one.Start, one.Feature = time.Unix(step*seconds, 0).UTC(), int(feature)
		bins := min(len(f.Bins), len(one.Counts))
		one.Counts, one.States = one.Counts[:bins:bins], one.Counts[bins:]
		if measured != 0 && f.Kind == profile.Numeric {
			m, err := of.moments(values(score.Want{Bins: len(f.Bins)}, one.Counts))
			if err != nil {
				return nil, err
			}
			one.Number = m.N()
			one.Mean, one.StdDev = m.Summary()
		}
		steps = append(steps, one)
	}
	return steps, rows.Err()
}
