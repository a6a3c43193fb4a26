package profile

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The plain way to read CSV, which takes the memory of the whole file: what the
// reader must agree with.
func plainCSV(r io.Reader, opts CSVOptions) ([]Column, error) {
	reader := csv.NewReader(plainMark(r))
	reader.ReuseRecord = true
	if opts.Comma != 0 {
		reader.Comma = opts.Comma
	}
	header, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, &Error{Rule: "CSV_HEADER", Detail: "the file is empty; a header row is required"}
	}
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	cells, err := plainNamedCells(header, opts.Types)
	if err != nil {
		return nil, err
	}
	limit := opts.MaxRows
	if limit == 0 {
		limit = MaxRows
	}
	for row := 1; ; row++ {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, csv.ErrFieldCount) {
			return nil, &Error{Row: row, Rule: "CSV_FIELDS", Detail: fmt.Sprintf("%d cells where the header has %d", len(record), len(cells))}
		}
		if err != nil {
			return nil, fmt.Errorf("read row %d: %w", row, err)
		}
		if row > limit {
			return nil, &Error{Row: row, Rule: "MAX_ROWS", Detail: fmt.Sprintf("more than %d rows; take a sample", limit)}
		}
		for i := range cells {
			cells[i].add(strings.TrimSpace(record[i]))
		}
	}
	columns := make([]Column, len(cells))
	for i := range cells {
		if columns[i], err = cells[i].column(); err != nil {
			return nil, err
		}
	}
	return columns, nil
}

func plainMark(r io.Reader) io.Reader {
	buffered := bufio.NewReader(r)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(len(mark)) // cannot fail: the bytes were peeked
	}
	return buffered
}

func plainNamedCells(header []string, types map[string]ValueType) ([]plainCells, error) {
	named := make([]plainCells, len(header))
	seen := make(map[string]bool, len(header))
	for i, name := range header {
		name = strings.TrimSpace(name)
		if name == "" {
			return nil, &Error{Rule: "CSV_HEADER", Detail: fmt.Sprintf("column %d has no name", i+1)}
		}
		if seen[name] {
			return nil, &Error{Column: name, Rule: "CSV_HEADER", Detail: "the name appears twice"}
		}
		seen[name] = true
		named[i] = plainCells{name: strings.Clone(name), fixed: types[name], couldBe: [3]bool{true, true, true}}
	}
	for name, t := range types {
		if !seen[name] {
			return nil, &Error{Column: name, Rule: "CSV_TYPES", Detail: "there is no such column"}
		}
		if !t.valid() {
			return nil, &Error{Column: name, Rule: "COLUMN_TYPE", Detail: "type " + string(t) + " is not int, float, string or bool"}
		}
	}
	return named, nil
}

// plainCells gathers one column's texts end to end, which costs a few bytes a cell
// where strings would cost sixteen more, until its type is known.
type plainCells struct {
	name    string
	fixed   ValueType
	text    []byte
	ends    []int
	filled  int
	couldBe [3]bool // of plainInferred
}

// plainInferred are the types tried, in order, before String.
var plainInferred = [3]ValueType{Int, Float, Bool}

func (c *plainCells) add(text string) {
	c.text = append(c.text, text...)
	c.ends = append(c.ends, len(c.text))
	if text == "" {
		return
	}
	c.filled++
	for i, t := range plainInferred {
		c.couldBe[i] = c.couldBe[i] && plainReads(text, t)
	}
}

func (c *plainCells) kind() ValueType {
	if c.fixed != "" {
		return c.fixed
	}
	for i, t := range plainInferred {
		if c.couldBe[i] && c.filled > 0 {
			return t
		}
	}
	return String
}

func (c *plainCells) column() (Column, error) {
	col := Column{Name: c.name, Type: c.kind()}
	numeric := col.Type.Kind() == Numeric
	if numeric {
		col.Numbers = make([]float64, len(c.ends))
	} else {
		col.Texts = make([]string, len(c.ends))
	}
	if c.filled < len(c.ends) {
		col.Missing = make([]bool, len(c.ends))
	}
	intern := make(map[string]string)
	start := 0
	for row, end := range c.ends {
		text := c.text[start:end]
		start = end
		switch {
		case len(text) == 0:
			col.Missing[row] = true
		case !plainReads(string(text), col.Type):
			return col, &Error{Column: c.name, Row: row + 1, Rule: "CELL_TYPE", Detail: fmt.Sprintf("%.50q is not of type %s", text, col.Type)}
		case numeric:
			v, err := strconv.ParseFloat(string(text), 64)
			if err != nil { // only the range can be wrong here
				return col, &Error{Column: c.name, Row: row + 1, Rule: "NUMBER_RANGE", Detail: fmt.Sprintf("%.50q is beyond a 64-bit float", text)}
			}
			col.Numbers[row] = v
		default:
			col.Texts[row] = plainInterned(intern, text, col.Type)
		}
	}
	return col, nil
}

// interned shares the memory of equal texts while they are few.
func plainInterned(seen map[string]string, text []byte, t ValueType) string {
	if s, ok := seen[string(text)]; ok {
		return s
	}
	s := string(text)
	value := s
	if t == Bool {
		value = strings.ToLower(s)
	}
	if len(seen) < 4*MaxBins {
		seen[s] = value
	}
	return value
}

// reads reports whether a trimmed, non-empty text is a value of type t.
func plainReads(text string, t ValueType) bool {
	switch t {
	case Int:
		_, err := strconv.ParseInt(text, 10, 64)
		return err == nil
	case Float:
		// Go's hexadecimal floats and digit separators are not numbers in data
		// files.
		if strings.ContainsAny(text, "xXpP_") {
			return false
		}
		_, err := strconv.ParseFloat(text, 64)
		return err == nil || errors.Is(err, strconv.ErrRange)
	case Bool:
		return strings.EqualFold(text, "true") || strings.EqualFold(text, "false")
	default:
		return true
	}
}
