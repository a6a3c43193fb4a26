package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// Counted is what rows come to by bins of no registered profile.
type Counted struct {
	Counts  [][]uint64
	Groups  []*profile.Products
	Records uint64
}

// Count counts the rows of minutes first to before last by bins that need not be
// those of the registered profile, and writes nothing. Which rows count is known
// where the windows have been recomputed.
func (c *Cells) Count(ctx context.Context, s *window.Statements, first, last int64) (sum Counted, err error) {
	var minutes []int64
	for minute := first; minute < last; minute++ {
		minutes = append(minutes, minute)
	}
	none := s.Tally()
	sum.Counts, _ = none.Counts()
	sum.Groups = none.Groups()
	for part := range slices.Chunk(minutes, s.Minutes()) {
		tally, rows := s.Tally(), s.NewRows()
		if err := c.db.Read(ctx, s.Rows(part), rows.Results(), func() error { tally.Add(rows); return nil }); err != nil {
			return sum, fmt.Errorf("count windows: %w", err)
		}
		more, n := tally.Counts()
		for feature := range more {
			for cell := range more[feature] {
				sum.Counts[feature][cell] += more[feature][cell]
			}
		}
		for i, g := range tally.Groups() {
			sum.Groups[i].Merge(g)
		}
		sum.Records += n
	}
	return sum, nil
}
