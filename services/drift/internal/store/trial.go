package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// Count counts the rows of minutes first to before last by bins that need not be
// those of the registered profile, and writes nothing. Which rows count is known
// where the windows have been recomputed.
func (c *Cells) Count(ctx context.Context, s *window.Statements, first, last int64) (counts [][]uint64, records uint64, err error) {
	var minutes []int64
	for minute := first; minute < last; minute++ {
		minutes = append(minutes, minute)
	}
	counts, _ = s.Tally().Counts()
	for part := range slices.Chunk(minutes, s.Minutes()) {
		tally, rows := s.Tally(), s.NewRows()
		if err := c.db.Read(ctx, s.Rows(part), rows.Results(), func() error { tally.Add(rows); return nil }); err != nil {
			return nil, 0, fmt.Errorf("count windows: %w", err)
		}
		more, n := tally.Counts()
		for feature := range more {
			for cell := range more[feature] {
				counts[feature][cell] += more[feature][cell]
			}
		}
		records += n
	}
	return counts, records, nil
}
