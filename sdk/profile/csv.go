package profile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// MaxRows is the default bound on the rows of a CSV file.
const MaxRows = 5_000_000

// CSVOptions change how CSV is read. The zero value reads comma-separated
// values, infers every type, and keeps all in memory.
type CSVOptions struct {
	// Comma separates cells; 0 means ','.
	Comma rune
	// Names are those of the columns of a text without a header row; none when
	// the first row is one.
	Names []string
	// Null are texts of cells that hold no value, as an empty cell does.
	Null []string
	// Types sets the type of some columns instead of inferring it, by name.
	Types map[string]ValueType
	// MaxRows bounds the rows; 0 means [MaxRows].
	MaxRows int
	// Spill takes the cells that Memory has no room for; nil keeps all in
	// memory.
	Spill Spill
	// Memory is how many bytes of cells stay in memory where there is a Spill,
	// besides up to 32 MiB that wait to be spilled.
	Memory int64
}

// Spill holds what does not fit in memory, such as a temporary file: what was
// written to its end can be read at its place. It belongs to whoever made it.
type Spill interface {
	io.Writer
	io.ReaderAt
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
	table, err := NewCSV(r, opts)
	if err != nil {
		return nil, err
	}
	if err := table.Read(func(string) bool { return true }); err != nil {
		return nil, err
	}
	columns := make([]Column, len(table.cells))
	for i := range columns {
		if err := table.column(&table.cells[i], &columns[i], math.MaxInt); err != nil {
			return nil, err
		}
		table.cells[i] = cells{} // they are in the column now
		if columns[i].Type.Kind() == Category {
			columns[i].Numbers = nil // of the attempt to read numbers
		}
	}
	return columns, nil
}

// CSV reads text as [ReadCSV] does, and then gives its columns one at a time,
// which takes the memory of one. It is for one goroutine.
type CSV struct {
	opts  CSVOptions
	lines *csvLines
	cells []cells
	store cellStore
	rows  int
	null  map[string]struct{}
}

// NewCSV reads the header row, where there is one.
func NewCSV(r io.Reader, opts CSVOptions) (*CSV, error) {
	t := &CSV{opts: opts, lines: newCSVLines(r, opts.Comma)}
	if t.opts.MaxRows == 0 {
		t.opts.MaxRows = MaxRows
	}
	header, err := t.header()
	if err != nil {
		return nil, err
	}
	if t.cells, err = namedCells(header, opts.Types); err != nil {
		return nil, err
	}
	if len(opts.Null) > 0 {
		t.null = make(map[string]struct{}, len(opts.Null))
		for _, text := range opts.Null {
			t.null[text] = struct{}{}
		}
	}
	t.store = newCellStore(opts, len(t.cells))
	return t, nil
}

// header is the names of the columns.
func (t *CSV) header() (names [][]byte, err error) {
	if len(t.opts.Names) > 0 {
		for _, name := range t.opts.Names {
			names = append(names, []byte(name))
		}
		return names, nil
	}
	names, err = t.lines.next()
	if errors.Is(err, io.EOF) {
		return nil, &Error{Rule: "CSV_HEADER", Detail: "the file is empty; a header row is required"}
	}
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return names, nil
}

// Fix sets the type of a column before it is read, as [CSVOptions.Types] does
// where the names are known; a column that there is not is no mistake.
func (t *CSV) Fix(name string, as ValueType) {
	for i := range t.cells {
		if t.cells[i].name == name {
			t.cells[i].fixed = as
		}
	}
}

// Names are the names of the columns in their order.
func (t *CSV) Names() []string {
	names := make([]string, len(t.cells))
	for i := range names {
		names[i] = t.cells[i].name
	}
	return names
}

// Read reads all rows, and keeps the cells of the columns that keep wants.
func (t *CSV) Read(keep func(name string) bool) error {
	kept := make([]int, 0, len(t.cells))
	for i := range t.cells {
		if keep(t.cells[i].name) {
			kept = append(kept, i)
		}
	}
	return t.Rows(func(row int, record [][]byte) error {
		for _, i := range kept {
			if err := t.store.add(&t.cells[i], record[i]); err != nil {
				return fmt.Errorf("set row %d aside: %w", row, err)
			}
		}
		t.rows = row
		return nil
	})
}

// Rows gives the rows one by one instead of keeping them: each with its number,
// from 1, and its cells, without spaces around them and empty where there is no
// value. They are valid until the next.
func (t *CSV) Rows(take func(number int, cells [][]byte) error) error {
	for row := 1; ; row++ {
		record, err := t.lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read row %d: %w", row, err)
		}
		if len(record) != len(t.cells) {
			return &Error{Row: row, Rule: "CSV_FIELDS", Detail: fmt.Sprintf("%d cells where %s %d", len(record), t.named(), len(t.cells))}
		}
		if row > t.opts.MaxRows {
			return &Error{Row: row, Rule: "MAX_ROWS", Detail: fmt.Sprintf("more than %d rows; take a sample", t.opts.MaxRows)}
		}
		for i, text := range record {
			record[i] = t.value(text)
		}
		if err := take(row, record); err != nil {
			return err
		}
	}
}

func (t *CSV) named() string {
	if len(t.opts.Names) > 0 {
		return "the names given are"
	}
	return "the header has"
}

// value is a cell's text; empty when it stands for none.
func (t *CSV) value(text []byte) []byte {
	text = trimmed(text)
	if t.null != nil {
		if _, none := t.null[string(text)]; none {
			return nil
		}
	}
	return text
}

// Column reads a kept column into c, whose slices it uses again. Of different
// texts it holds one more than the [MaxBins] that a profile takes; any after
// those are read as the last of them, so that the memory has a bound.
func (t *CSV) Column(name string, c *Column) error {
	for i := range t.cells {
		if t.cells[i].name == name {
			return t.column(&t.cells[i], c, MaxBins+1)
		}
	}
	return &Error{Column: name, Rule: "COLUMN_NAME", Detail: "there is no such column"}
}

// Texts reads a kept column into c as texts, all that are different.
func (t *CSV) Texts(name string, c *Column) error {
	for i := range t.cells {
		if t.cells[i].name == name {
			*c = Column{Name: name, Type: String, Numbers: c.Numbers[:0], Texts: c.Texts[:0], Missing: c.Missing[:0]}
			fixed := t.cells[i]
			fixed.fixed = String
			return t.texts(&fixed, c, math.MaxInt)
		}
	}
	return &Error{Column: name, Rule: "COLUMN_NAME", Detail: "there is no such column"}
}

func namedCells(header [][]byte, types map[string]ValueType) ([]cells, error) {
	named := make([]cells, len(header))
	seen := make(map[string]bool, len(header))
	for i, text := range header {
		name := string(trimmed(text))
		if name == "" {
			return nil, &Error{Rule: "CSV_HEADER", Detail: fmt.Sprintf("column %d has no name", i+1)}
		}
		if seen[name] {
			return nil, &Error{Column: name, Rule: "CSV_HEADER", Detail: "the name appears twice"}
		}
		seen[name] = true
		named[i] = cells{name: name, fixed: types[name]}
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

// column reads cells as the type that is fixed for them or inferred, with up to
// so many different texts.
func (t *CSV) column(c *cells, into *Column, different int) error {
	*into = Column{Name: c.name, Type: c.fixed, Numbers: into.Numbers[:0], Texts: into.Texts[:0], Missing: into.Missing[:0]}
	if c.fixed == "" || c.fixed.Kind() == Numeric {
		numeric, err := t.numbers(c, into)
		if numeric || err != nil {
			return err
		}
	}
	return t.texts(c, into, different)
}

// numbers reads cells as numbers, or says that they are none.
func (t *CSV) numbers(c *cells, into *Column) (numeric bool, err error) {
	into.Numbers = sized(into.Numbers, t.rows)
	missing := missingMarks{room: into.Missing, rows: t.rows}
	integers, filled := true, false
	var beyond error
	row := 0
	for text, failed := range t.store.all(c) {
		if failed != nil {
			return false, failed
		}
		row++
		if len(text) == 0 {
			missing.mark(row)
			into.Numbers[row-1] = 0
			continue
		}
		v, kind := parseNumber(text, integers)
		if kind == notNumber || c.fixed == Int && kind != integer {
			if c.fixed == "" {
				return false, nil
			}
			return false, c.wrongType(row, text)
		}
		if kind == outOfRange && beyond == nil {
			beyond = &Error{Column: c.name, Row: row, Rule: "NUMBER_RANGE", Detail: fmt.Sprintf("%.50q is beyond a 64-bit float", text)}
			if c.fixed != "" {
				return false, beyond
			}
		}
		integers = integers && kind == integer
		into.Numbers[row-1], filled = v, true
	}
	if !filled && c.fixed == "" {
		return false, nil
	}
	if into.Type == "" {
		into.Type = Float
		if integers {
			into.Type = Int
		}
	}
	into.Missing = missing.marks
	return true, beyond
}

// texts reads cells as texts, or as bools when all are.
func (t *CSV) texts(c *cells, into *Column, different int) error {
	into.Texts = sized(into.Texts, t.rows)
	missing := missingMarks{room: into.Missing, rows: t.rows}
	bools, filled := true, false
	seen := Texts{Different: different}
	row := 0
	for text, failed := range t.store.all(c) {
		if failed != nil {
			return failed
		}
		row++
		if len(text) == 0 {
			missing.mark(row)
			into.Texts[row-1] = ""
			continue
		}
		value := seen.Of(text)
		if bools && !isBool(value) {
			if c.fixed == Bool {
				return c.wrongType(row, text)
			}
			bools = false
		}
		into.Texts[row-1], filled = value, true
	}
	if into.Type == "" {
		into.Type = String
		if bools && filled {
			into.Type = Bool
		}
	}
	if into.Type == Bool {
		for i, text := range into.Texts {
			into.Texts[i] = strings.ToLower(text)
		}
	}
	into.Numbers, into.Missing = into.Numbers[:0], missing.marks
	return nil
}

func (c *cells) wrongType(row int, text []byte) error {
	return &Error{Column: c.name, Row: row, Rule: "CELL_TYPE", Detail: fmt.Sprintf("%.50q is not of type %s", text, c.fixed)}
}

func isBool(text string) bool {
	return strings.EqualFold(text, "true") || strings.EqualFold(text, "false")
}

// sized is the slice with n elements, whatever they hold.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// missingMarks are made with the first missing value.
type missingMarks struct {
	room, marks []bool
	rows        int
}

func (m *missingMarks) mark(row int) {
	if m.marks == nil {
		m.marks = sized(m.room, m.rows)
		clear(m.marks)
	}
	m.marks[row-1] = true
}
