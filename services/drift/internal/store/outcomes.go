package store

import (
	"context"
	"fmt"

	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

const ofRange = ` FROM outcome_cells FINAL WHERE Tenant = {tenant:String} AND Profile = {profile:UUID}
	AND Minute >= toDateTime({start:Int64}, 'UTC') AND Minute < toDateTime({end:Int64}, 'UTC') `

// Outcomes adds up how predictions of a range compare with what came true.
func (c *Cells) Outcomes(ctx context.Context, r Range) (*score.Outcomes, error) {
	out := new(score.Outcomes)
	var counts []uint64
	var errors uint64
	var absolute, squared bucketRow
	into := append([]any{&counts, &out.Positives, &out.Negatives, &errors}, append(absolute.into(), squared.into()...)...)
	err := c.db.QueryRow(ctx, `SELECT sumForEach(Counts), sumForEach(Positives), sumForEach(Negatives), sum(Errors),
			(sumMap(AbsoluteBuckets, AbsoluteSums, AbsoluteSquares) AS a).1, a.2, a.3, (sumMap(SquaredBuckets, SquaredSums, SquaredSquares) AS s).1, s.2, s.3`+
		ofRange, r.args()...).Scan(into...)
	if err == nil {
		out.Absolute, err = absolute.moments(errors)
	}
	if err == nil {
		out.Squared, err = squared.moments(errors)
	}
	if err != nil {
		return nil, fmt.Errorf("sum outcomes: %w", err)
	}
	for i, to := range []*uint64{&out.Right, &out.Wrong, &out.TruePositive, &out.FalsePositive, &out.FalseNegative, &out.TrueNegative} {
		if i < len(counts) {
			*to = counts[i]
		}
	}
	return out, nil
}
