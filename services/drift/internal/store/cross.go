package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

// Names are more values of the category features of a profile than it knows, by
// position.
type Names map[int][]string

// Unseen gives the most frequent values in a range that the category features of a
// profile do not know, about so many of each.
func (c *Cells) Unseen(ctx context.Context, r Range, p *profile.Profile, names int) (Names, error) {
	rows, err := c.db.Query(ctx, window.Unseen(window.Span(r), p, names))
	if err != nil {
		return nil, fmt.Errorf("look for unseen categories: %w", err)
	}
	defer rows.Close()
	found := Names{}
	for rows.Next() {
		var feature uint16
		var texts []string
		if err := rows.Scan(&feature, &texts); err != nil {
			return nil, fmt.Errorf("read unseen categories: %w", err)
		}
		found[int(feature)] = texts
	}
	return found, rows.Err()
}

// With is a copy of a profile whose category features, but for one, know these
// values too, as their last bins.
func (n Names) With(p *profile.Profile, but int) *profile.Profile {
	made := *p
	made.Features = slices.Clone(p.Features)
	for i, texts := range n {
		if i == but {
			continue
		}
		f := &made.Features[i]
		f.Bins = slices.Clone(f.Bins)
		for _, text := range texts {
			f.Bins = append(f.Bins, profile.Bin{Category: text})
		}
	}
	return &made
}

// Cross counts the records of a range by the cells of every feature and of the
// target, which has so many: for each feature and cell the counts by the target's
// cells, nil where there are none.
func (c *Cells) Cross(ctx context.Context, r Range, p *profile.Profile, target window.Target, cells int) ([][][]uint64, error) {
	rows, err := c.db.Query(ctx, window.Cross(window.Span(r), p, target))
	if err != nil {
		return nil, fmt.Errorf("count slices: %w", err)
	}
	defer rows.Close()
	found := make([][][]uint64, len(p.Features))
	for i := range found {
		found[i] = make([][]uint64, p.Features[i].Cells())
	}
	width := uint32(cells) //nolint:gosec // bins
	for rows.Next() {
		var feature uint16
		var cell, of uint32
		var n uint64
		if err := rows.Scan(&feature, &cell, &of, &n); err != nil {
			return nil, fmt.Errorf("read slices: %w", err)
		}
		if int(feature) >= len(found) || int(cell) >= len(found[feature]) || of >= width {
			continue // of another shape: it cannot be
		}
		if found[feature][cell] == nil {
			found[feature][cell] = make([]uint64, width)
		}
		found[feature][cell][of] = n
	}
	return found, rows.Err()
}

// Examples are how many records of a range are in each of the target's cells, and a
// few of them.
func (c *Cells) Examples(ctx context.Context, r Range, p *profile.Profile, target window.Target, cells int) (counts []uint64, found [][]score.Exemplar, err error) {
	rows, err := c.db.Query(ctx, window.Examples(window.Span(r), p, target))
	if err != nil {
		return nil, nil, fmt.Errorf("look for examples: %w", err)
	}
	defer rows.Close()
	counts, found = make([]uint64, cells), make([][]score.Exemplar, cells)
	for rows.Next() {
		var cell uint32
		var n uint64
		var some [][]any
		if err := rows.Scan(&cell, &n, &some); err != nil {
			return nil, nil, fmt.Errorf("read examples: %w", err)
		}
		if int(cell) >= cells {
			continue // of another shape: it cannot be
		}
		counts[cell] = n
		for _, one := range some {
			record, _ := one[1].(string)
			trace, _ := one[2].(string)
			span, _ := one[3].(string)
			found[cell] = append(found[cell], score.Exemplar{Record: record, Trace: trace, Span: span})
		}
	}
	return counts, found, rows.Err()
}
