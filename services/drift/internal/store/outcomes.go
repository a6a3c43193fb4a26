package store

import (
	"context"
	"fmt"
	"math/big"

	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

const ofRange = ` FROM outcome_cells FINAL WHERE Tenant = {tenant:String} AND Profile = {profile:UUID}
	AND Minute >= toDateTime({start:Int64}, 'UTC') AND Minute < toDateTime({end:Int64}, 'UTC') `

// Outcomes adds up how predictions of a range compare with what came true.
func (c *Cells) Outcomes(ctx context.Context, r Range) (*score.Outcomes, error) {
	out := &score.Outcomes{Absolute: exact.NewMoments(2), Squared: exact.NewMoments(2)}
	var counts []uint64
	err := c.db.QueryRow(ctx, "SELECT sumForEach(Counts), sumForEach(Positives), sumForEach(Negatives)"+ofRange, r.args()...).
		Scan(&counts, &out.Positives, &out.Negatives)
	if err != nil {
		return nil, fmt.Errorf("sum outcomes: %w", err)
	}
	for i, to := range []*uint64{&out.Right, &out.Wrong, &out.TruePositive, &out.FalsePositive, &out.FalseNegative, &out.TrueNegative} {
		if i < len(counts) {
			*to = counts[i]
		}
	}
	for column, to := range map[string]*exact.Moments{"Absolute": out.Absolute, "Squared": out.Squared} {
		if err := c.moments(ctx, r, column, to); err != nil {
			return nil, fmt.Errorf("sum outcomes: %w", err)
		}
	}
	return out, nil
}

// moments adds up exact sums of a column.
func (c *Cells) moments(ctx context.Context, r Range, column string, to *exact.Moments) error {
	rows, err := c.db.Query(ctx, "SELECT sums.1 AS bucket, sum(sums.2), sum(toInt256(sums.3)), sum(sums.4) FROM (SELECT arrayJoin("+column+") AS sums"+
		ofRange+") GROUP BY bucket", r.args()...)
	if err != nil {
		return err
	}
	defer rows.Close()
	sums := exact.SQLOf("x", to.Order())
	for rows.Next() {
		var bucket uint16
		var n uint64
		var ones, twos big.Int
		if err := rows.Scan(&bucket, &n, &ones, &twos); err != nil {
			return err
		}
		if err := sums.Read(to, int(bucket), n, []*big.Int{&ones, &twos}); err != nil {
			return err
		}
	}
	return rows.Err()
}
