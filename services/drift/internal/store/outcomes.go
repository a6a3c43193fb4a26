package store

import (
	"context"
	"fmt"
	"math/big"
	"strings"

	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

const ofRange = ` FROM outcome_cells FINAL WHERE Tenant = {tenant:String} AND Profile = {profile:UUID}
	AND Minute >= toDateTime({start:Int64}, 'UTC') AND Minute < toDateTime({end:Int64}, 'UTC') `

// Outcomes adds up how predictions of a range compare with what came true.
func (c *Cells) Outcomes(ctx context.Context, r Range) (*score.Outcomes, error) {
	out := &score.Outcomes{Absolute: exact.NewMoments(2), Squared: exact.NewMoments(2)}
	var counts []uint64
	var errors uint64
	err := c.db.QueryRow(ctx, "SELECT sumForEach(Counts), sumForEach(Positives), sumForEach(Negatives), sum(Errors)"+ofRange, r.args()...).
		Scan(&counts, &out.Positives, &out.Negatives, &errors)
	if err != nil {
		return nil, fmt.Errorf("sum outcomes: %w", err)
	}
	for i, to := range []*uint64{&out.Right, &out.Wrong, &out.TruePositive, &out.FalsePositive, &out.FalseNegative, &out.TrueNegative} {
		if i < len(counts) {
			*to = counts[i]
		}
	}
	for column, to := range map[string]*exact.Moments{"Absolute": out.Absolute, "Squared": out.Squared} {
		if err := c.errors(ctx, r, column, errors, to); err != nil {
			return nil, fmt.Errorf("sum outcomes: %w", err)
		}
	}
	return out, nil
}

// errors adds up the exact sums of n errors.
func (c *Cells) errors(ctx context.Context, r Range, column string, n uint64, to *exact.Moments) error {
	if err := to.AddBucket(0, n, new(big.Int), new(big.Int)); err != nil || n == 0 { // zeros are in no bucket
		return err
	}
	rows, err := c.db.Query(ctx, strings.ReplaceAll(`SELECT row.1 AS bucket, sum(toInt256(row.2)), sum(row.3)
		FROM (SELECT arrayJoin(arrayZip($Buckets, $Sums, $Squares)) AS row`+ofRange+") GROUP BY bucket", "$", column), r.args()...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var bucket uint16
		var sum, square big.Int
		if err := rows.Scan(&bucket, &sum, &square); err != nil {
			return err
		}
		if err := to.AddBucket(int(bucket), 0, &sum, &square); err != nil {
			return err
		}
	}
	return rows.Err()
}
