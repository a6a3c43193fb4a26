// Package chunk cuts the rows of a table into chunks, by calendar or by number,
// and counts each chunk's values by the bins of a profile, as the mesh counts
// those of records.
package chunk

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Most is the largest number of chunks of a table.
const Most = 2000

// By says how rows are cut. The zero value makes one chunk of all.
type By struct {
	every string
	rows  int
	zone  *time.Location
}

// ParseBy reads how to cut: hour, day, week, month, quarter or year, in a zone, or
// a number of rows. Empty is one chunk of all.
func ParseBy(text string, zone *time.Location) (By, error) {
	b := By{every: text, zone: zone}
	switch text {
	case "", "hour", "day", "week", "month", "quarter", "year":
		return b, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return b, fault.Invalid.New("chunk %q is not hour, day, week, month, quarter, year or a number of rows", text)
	}
	return By{rows: n}, nil
}

// Whole reports whether all rows are one chunk.
func (b By) Whole() bool { return b.every == "" && b.rows == 0 }

// Timed reports whether rows are cut by their time.
func (b By) Timed() bool { return b.every != "" }

// start is the start of the chunk that t is in.
func (b By) start(t time.Time) time.Time {
	t = t.In(b.zone)
	year, month, day := t.Date()
	switch b.every {
	case "hour":
		return t.Add(-time.Duration(t.Minute())*time.Minute - time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
	case "week": // from Monday, as ISO 8601 has it
		day -= (int(t.Weekday()) + 6) % 7
	case "month":
		day = 1
	case "quarter":
		month, day = (month-1)/3*3+1, 1
	case "year":
		month, day = 1, 1
	}
	return time.Date(year, month, day, 0, 0, 0, 0, b.zone)
}

// end is the end of the chunk that begins at start.
func (b By) end(start time.Time) time.Time {
	switch b.every {
	case "hour":
		return start.Add(time.Hour)
	case "day":
		return start.AddDate(0, 0, 1)
	case "week":
		return start.AddDate(0, 0, 7)
	case "month":
		return start.AddDate(0, 1, 0)
	case "quarter":
		return start.AddDate(0, 3, 0)
	}
	return start.AddDate(1, 0, 0)
}

// label names the chunk that begins at start.
func (b By) label(start time.Time) string {
	switch b.every {
	case "hour":
		return start.Format("2006-01-02 15:04")
	case "week":
		year, week := start.ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	case "month":
		return start.Format("2006-01")
	case "quarter":
		return fmt.Sprintf("%d-Q%d", start.Year(), (int(start.Month())+2)/3)
	case "year":
		return start.Format("2006")
	}
	return start.Format("2006-01-02")
}

// Spans are the chunks that have a part of the time from start to before end.
func (b By) Spans(start, end time.Time) ([]Chunk, error) {
	var all []Chunk
	for at := b.start(start); at.Before(end); {
		if len(all) == Most {
			return nil, tooMany(len(all) + 1)
		}
		c := Chunk{Label: b.label(at), Start: at, End: b.end(at)}
		all = append(all, c)
		at = c.End
	}
	return all, nil
}

// Chunk is some of the rows.
type Chunk struct {
	// Label names it.
	Label string
	// Start and End are its part of time, where rows are cut by that.
	Start, End time.Time
	// Rows is how many there are.
	Rows int
	// Partial says that it has fewer rows than were asked for, at the end.
	Partial bool
}

// Cut is how the rows of a table are cut.
type Cut struct {
	// Chunks in the order of time, or of rows.
	Chunks []Chunk
	of     []int32 // the chunk of each row; nil when chunks have each rows
	each   int
}

// Of is the position of the chunk of a row.
func (c *Cut) Of(row int) int {
	switch {
	case c.of != nil:
		return int(c.of[row])
	case c.each > 0:
		return row / c.each
	}
	return 0
}

// Count cuts rows that have no time.
func (b By) Count(rows int) (*Cut, error) {
	if b.Whole() {
		return &Cut{Chunks: []Chunk{{Label: "all", Rows: rows}}}, nil
	}
	c := &Cut{each: b.rows}
	n := (rows + b.rows - 1) / b.rows
	if n > Most {
		return nil, tooMany(n)
	}
	for i := range n {
		from, to := i*b.rows, min((i+1)*b.rows, rows)
		c.Chunks = append(c.Chunks, Chunk{Label: fmt.Sprintf("rows %d to %d", from+1, to), Rows: to - from, Partial: to-from < b.rows})
	}
	return c, nil
}

func tooMany(n int) error {
	return fault.Invalid.New("%d chunks are more than %d: cut into larger ones", n, Most)
}

// Times cuts rows by a column of their times. Every row must have one.
func (b By) Times(column *table.Column, format *table.TimeFormat) (*Cut, error) {
	c := &Cut{of: make([]int32, column.Len())}
	places := map[int64]int32{} // starts, in seconds
	var last Chunk
	var at int32
	for row := range c.of {
		nanos, err := timeAt(column, format, row)
		if err != nil {
			return nil, err
		}
		if t := time.Unix(0, nanos); last.End.IsZero() || t.Before(last.Start) || !t.Before(last.End) {
			start := b.start(t)
			place, known := places[start.Unix()]
			if !known {
				place = int32(len(c.Chunks)) //nolint:gosec // at most Most
				places[start.Unix()] = place
				c.Chunks = append(c.Chunks, Chunk{Label: b.label(start), Start: start, End: b.end(start)})
				if len(c.Chunks) > Most {
					return nil, tooMany(len(c.Chunks))
				}
			}
			last, at = c.Chunks[place], place
		}
		c.of[row] = at
		c.Chunks[at].Rows++
	}
	c.sort()
	return c, nil
}

// timeAt is the time of a row, which must have one.
func timeAt(column *table.Column, format *table.TimeFormat, row int) (int64, error) {
	nanos, none, err := format.Time(column, row)
	if err == nil && none {
		err = &profile.Error{Column: column.Name, Row: row + 1, Rule: "TIME", Detail: "the row has no time"}
	}
	return nanos, err
}

// sort puts the chunks in the order of time.
func (c *Cut) sort() {
	order := make([]int, len(c.Chunks))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return c.Chunks[a].Start.Compare(c.Chunks[b].Start) })
	sorted, to := make([]Chunk, len(order)), make([]int32, len(order))
	for i, from := range order {
		sorted[i], to[from] = c.Chunks[from], int32(i) //nolint:gosec // at most Most
	}
	c.Chunks = sorted
	for row, at := range c.of {
		c.of[row] = to[at]
	}
}
