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

// MaxRows is the default bound on the rows that [ReadCSV] takes into memory.
const MaxRows = 5_000_000

// CSVOptions change how [ReadCSV] reads. The zero value reads comma-separated
// values and infers every type.
type CSVOptions struct {
	// Comma separates cells; 0 means ','.
	Comma rune
	// Types sets the type of some columns instead of inferring it, by name.
	Types map[string]ValueType
	// MaxRows bounds the rows; 0 means [MaxRows].
	MaxRows int
}

// ReadCSV reads columns from RFC 4180 text with a header row.
//
// Cells and names lose spaces around them. An empty cell is a missing value. A
// column's type is the first of these that all its other cells satisfy:
//
//   - int: a decimal 64-bit integer with optional sign;
//   - float: a decimal number as Go writes it (1.5, -2e-3), or NaN, Inf, +Inf,
//     -Inf, Infinity in any case;
//   - bool: true or false in any case;
//   - string: anything.
//
// A column without any value is a string column. CSVOptions.Types overrides the
// rule, for instance for codes such as 007. Errors name column, row and rule.
func ReadCSV(r io.Reader, opts CSVOptions) ([]Column, error) {
	reader := csv.NewReader(skipMark(r))
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
	cells, err := namedCells(header, opts.Types)
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

// skipMark drops a UTF-8 byte order mark, which spreadsheets write.
func skipMark(r io.Reader) io.Reader {
	buffered := bufio.NewReader(r)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(len(mark)) // cannot fail: the bytes were peeked
	}
	return buffered
}

func namedCells(header []string, types map[string]ValueType) ([]cells, error) {
	named := make([]cells, len(header))
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
		named[i] = cells{name: strings.Clone(name), fixed: types[name], couldBe: [3]bool{true, true, true}}
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

// cells gathers one column's texts end to end, which costs a few bytes a cell
// where strings would cost sixteen more, until its type is known.
type cells struct {
	name    string
	fixed   ValueType
	text    []byte
	ends    []int
	filled  int
	couldBe [3]bool // of inferred
}

// inferred are the types tried, in order, before String.
var inferred = [3]ValueType{Int, Float, Bool}

func (c *cells) add(text string) {
	c.text = append(c.text, text...)
	c.ends = append(c.ends, len(c.text))
	if text == "" {
		return
	}
	c.filled++
	for i, t := range inferred {
		c.couldBe[i] = c.couldBe[i] && reads(text, t)
	}
}

func (c *cells) kind() ValueType {
	if c.fixed != "" {
		return c.fixed
	}
	for i, t := range inferred {
		if c.couldBe[i] && c.filled > 0 {
			return t
		}
	}
	return String
}

func (c *cells) column() (Column, error) {
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
		case !reads(string(text), col.Type):
			return col, &Error{Column: c.name, Row: row + 1, Rule: "CELL_TYPE", Detail: fmt.Sprintf("%.50q is not of type %s", text, col.Type)}
		case numeric:
			v, err := strconv.ParseFloat(string(text), 64)
			if err != nil { // only the range can be wrong here
				return col, &Error{Column: c.name, Row: row + 1, Rule: "NUMBER_RANGE", Detail: fmt.Sprintf("%.50q is beyond a 64-bit float", text)}
			}
			col.Numbers[row] = v
		default:
			col.Texts[row] = interned(intern, text, col.Type)
		}
	}
	return col, nil
}

// interned shares the memory of equal texts while they are few.
func interned(seen map[string]string, text []byte, t ValueType) string {
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
func reads(text string, t ValueType) bool {
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
