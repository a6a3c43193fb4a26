package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/driftmesh/driftmesh/services/drift/internal/window"
)

const (
	// rowsAtOnce is how many rows windows that are recomputed together may have:
	// what is done is kept when the rest fails.
	rowsAtOnce = 500_000
	// fewRows is up to where ids are looked up one by one, whatever else there is.
	fewRows = 1000
	// scanRate is how many ids are read in the time in which one is looked up.
	scanRate = 40
	// scannedRows bounds the ids whose hashes the engine holds at a time.
	scannedRows = 2_000_000
)

// Parts cuts minutes into as many as should be recomputed at a time, by what they
// hold.
func (c *Cells) Parts(ctx context.Context, s *window.Statements, minutes []int64) (parts [][]int64, err error) {
	if len(minutes) <= 1 {
		return [][]int64{minutes}, nil
	}
	for part := range slices.Chunk(minutes, s.Minutes()) {
		sizes, err := c.sizes(ctx, s, part)
		if err != nil {
			return nil, err
		}
		rows, begin := uint64(0), 0
		for i, minute := range part {
			if rows += sizes[minute]; rows > rowsAtOnce && i > begin {
				parts = append(parts, part[begin:i])
				rows, begin = sizes[minute], i
			}
		}
		parts = append(parts, part[begin:])
	}
	return parts, nil
}

// sizes counts the rows of minutes, as stored.
func (c *Cells) sizes(ctx context.Context, s *window.Statements, minutes []int64) (map[int64]uint64, error) {
	rows, err := c.db.Query(ctx, s.Size(minutes))
	if err != nil {
		return nil, fmt.Errorf("measure windows: %w", err)
	}
	defer rows.Close()
	sizes := make(map[int64]uint64, len(minutes))
	for rows.Next() {
		var minute int64
		var n uint64
		if err := rows.Scan(&minute, &n); err != nil {
			return nil, fmt.Errorf("read sizes of windows: %w", err)
		}
		sizes[minute] = n
	}
	return sizes, rows.Err()
}

// Recompute computes the cells of the minutes, and of the others that share a
// record with them, whole. It may be done at any time by anybody. Windows that
// never had a row are not written.
func (c *Cells) Recompute(ctx context.Context, s *window.Statements, minutes []int64) error {
	if err := c.gather(ctx, s, minutes); err != nil {
		return err
	}
	related, err := c.findLosers(ctx, s, minutes)
	if err != nil {
		return err
	}
	all := append(slices.Clone(minutes), related...)
	slices.Sort(all)
	for part := range slices.Chunk(slices.Compact(all), s.Minutes()) {
		if err := c.count(ctx, s, part); err != nil {
			return err
		}
	}
	return nil
}

// count reads the rows of windows and writes their cells.
func (c *Cells) count(ctx context.Context, s *window.Statements, minutes []int64) error {
	tally, rows := s.Tally(), s.NewRows()
	if err := c.db.Read(ctx, s.Rows(minutes), rows.Results(), func() error { tally.Add(rows); return nil }); err != nil {
		return fmt.Errorf("count windows: %w", err)
	}
	cells, err := tally.Cells()
	if err != nil {
		return fmt.Errorf("count windows: %w", err)
	}
	if err := c.db.Insert(ctx, "cells", cells); err != nil {
		return fmt.Errorf("store cells: %w", err)
	}
	products, err := tally.Products()
	if err == nil && products != nil {
		err = c.db.Insert(ctx, "product_cells", products)
	}
	if err != nil {
		return fmt.Errorf("store products: %w", err)
	}
	outcomes, err := tally.Outcomes()
	if err == nil && outcomes != nil {
		err = c.db.Insert(ctx, "outcome_cells", outcomes)
	}
	if err != nil {
		return fmt.Errorf("store outcomes: %w", err)
	}
	return nil
}

// findLosers writes down which rows of the windows are no record, and gives the
// windows that share records with them.
func (c *Cells) findLosers(ctx context.Context, s *window.Statements, minutes []int64) (related []int64, err error) {
	sizes, err := c.sizes(ctx, s, minutes)
	if err != nil {
		return nil, err
	}
	var rows uint64
	for _, n := range sizes {
		rows += n
	}
	if rows == 0 {
		return nil, nil
	}
	if suspects, err := c.suspects(ctx, s, minutes, rows); err != nil || !suspects {
		return nil, err
	}
	part := window.Slice{Of: int(rows/window.SliceRows) + 1}
	for ; part.Part < part.Of; part.Part++ {
		if err := c.db.Exec(ctx, s.Losers(minutes, part)); err != nil {
			return nil, fmt.Errorf("write down lost rows: %w", err)
		}
		var found []int64
		if err := c.db.QueryRow(ctx, s.Related(minutes, part)).Scan(&found); err != nil {
			return nil, fmt.Errorf("find related windows: %w", err)
		}
		related = append(related, found...)
	}
	return related, nil
}

// suspects reports whether some record of the windows seems to have rows in other
// minutes.
func (c *Cells) suspects(ctx context.Context, s *window.Statements, minutes []int64, rows uint64) (bool, error) {
	ask, part := s.Suspects, window.Slice{Of: int(rows/window.SliceRows) + 1}
	if rows > fewRows {
		ids, scan, err := c.scannable(ctx, s, minutes, rows)
		if err != nil {
			return false, err
		}
		if scan {
			part.Of = int(rows/scannedRows) + 1
			ask = func(minutes []int64, part window.Slice) string { return s.SuspectsAmong(minutes, part, ids) }
		}
	}
	for ; part.Part < part.Of; part.Part++ {
		var found uint64
		if err := c.db.QueryRow(ctx, ask(minutes, part)).Scan(&found); err != nil {
			return false, fmt.Errorf("look for records in several windows: %w", err)
		}
		if found > 0 {
			return true, nil
		}
	}
	return false, nil
}

// scannable says among which ids those of the windows are, and whether there are
// so few others that reading all is faster than looking each up. Ids that ascend
// with time are close together; random ones are among all of the profile.
func (c *Cells) scannable(ctx context.Context, s *window.Statements, minutes []int64, rows uint64) (ids window.IDs, scan bool, err error) {
	all, err := c.estimate(ctx, s.Estimate(ids))
	if err != nil || all < scanRate*rows {
		return ids, err == nil, err
	}
	if err := c.db.QueryRow(ctx, s.Span(minutes)).Scan(&ids.First, &ids.Last); err != nil {
		return ids, false, fmt.Errorf("find the range of ids: %w", err)
	}
	among, err := c.estimate(ctx, s.Estimate(ids))
	return ids, among < scanRate*rows, err
}

// estimate adds up what a query by the index estimates: a row for each table.
func (c *Cells) estimate(ctx context.Context, query string) (total uint64, err error) {
	found, err := c.db.Query(ctx, query)
	if err != nil {
		return 0, fmt.Errorf("estimate the number of ids: %w", err)
	}
	defer found.Close()
	for found.Next() {
		var database, table string
		var parts, rows, marks uint64
		if err := found.Scan(&database, &table, &parts, &rows, &marks); err != nil {
			return 0, fmt.Errorf("read estimate: %w", err)
		}
		total += rows
	}
	return total, found.Err()
}
