package chunk

import (
	"cmp"
	"slices"
	"time"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
)

// clock is when the rows of a table happened.
type clock struct {
	nanos []int64
	order []int32     // rows, the earliest first; those of one time in their order
	last  []time.Time // of each chunk
}

// newClock reads the column of times. Chunks that are not of a part of time get one:
// the minutes of their rows.
func newClock(column *table.Column, format *table.TimeFormat, cut *Cut) (*clock, error) {
	c := &clock{nanos: make([]int64, column.Len()), order: make([]int32, column.Len()), last: make([]time.Time, len(cut.Chunks))}
	first := make([]time.Time, len(cut.Chunks))
	for row := range c.nanos {
		nanos, err := timeAt(column, format, row)
		if err != nil {
			return nil, err
		}
		c.nanos[row], c.order[row] = nanos, int32(row) //nolint:gosec // fewer rows fit into memory
		at, t := cut.Of(row), c.time(row)
		if first[at].IsZero() || t.Before(first[at]) {
			first[at] = t
		}
		if t.After(c.last[at]) {
			c.last[at] = t
		}
	}
	slices.SortFunc(c.order, func(a, b int32) int { return cmp.Or(cmp.Compare(c.nanos[a], c.nanos[b]), cmp.Compare(a, b)) })
	for i := range cut.Chunks {
		if k := &cut.Chunks[i]; k.End.IsZero() && k.Rows > 0 {
			k.Start, k.End = first[i].Truncate(time.Minute), c.last[i].Truncate(time.Minute).Add(time.Minute)
		}
	}
	return c, nil
}

func (c *clock) time(row int) time.Time { return time.Unix(0, c.nanos[row]).UTC() }

// minute is that of a row, since 1970.
func (c *clock) minute(row int) int64 { return c.time(row).Truncate(time.Minute).Unix() / 60 }
