package profile

import "strconv"

// Error says which rule the input breaks, and where. Every error of this
// package about data or settings is, or wraps, an *Error.
type Error struct {
	// Monitor is the monitor at fault; empty when it is none.
	Monitor string
	// Column is the column or feature at fault; empty when it is not one column.
	Column string
	// Row is the data row at fault, counted from 1 without the header; 0 when
	// it is not one row.
	Row int
	// Rule is the broken rule in UPPER_SNAKE, stable across releases.
	Rule string
	// Detail says in words what was found and what is allowed.
	Detail string
}

// Error returns the place, the detail and the rule in one line.
func (e *Error) Error() string {
	s := ""
	if e.Monitor != "" {
		s += "monitor " + strconv.Quote(e.Monitor) + ": "
	}
	if e.Column != "" {
		s += "column " + strconv.Quote(e.Column) + ": "
	}
	if e.Row > 0 {
		s += "row " + strconv.Itoa(e.Row) + ": "
	}
	return s + e.Detail + " (" + e.Rule + ")"
}
