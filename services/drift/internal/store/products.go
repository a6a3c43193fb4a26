package store

import (
	"context"
	"fmt"
	"math/big"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

const ofGroups = ` FROM product_cells FINAL WHERE Tenant = {tenant:String} AND Profile = {profile:UUID}
	AND Minute >= toDateTime({start:Int64}, 'UTC') AND Minute < toDateTime({end:Int64}, 'UTC') `

// Products adds up what a range has of each group of a profile.
func (c *Cells) Products(ctx context.Context, r Range, p *profile.Profile) ([]*profile.Products, error) {
	all := make([]*profile.Products, len(p.Groups))
	for i := range all {
		all[i] = profile.NewProducts(p, &p.Groups[i])
	}
	rows, err := c.db.Query(ctx, `SELECT Number, sum(Complete), sum(Incomplete), sumForEach(Sums)`+ofGroups+`GROUP BY Number`, r.args()...)
	if err != nil {
		return nil, fmt.Errorf("sum products: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var number uint8
		var complete, incomplete uint64
		var sums []*big.Int
		if err := rows.Scan(&number, &complete, &incomplete, &sums); err != nil {
			return nil, fmt.Errorf("read products: %w", err)
		}
		if int(number) >= len(all) {
			continue
		}
		if err := all[number].Take(complete, incomplete, sums); err != nil {
			return nil, fmt.Errorf("read products: %w", err)
		}
	}
	return all, rows.Err()
}
