// Package sqlresult writes the result of an SQL statement, which travels as
// JSON arrays, in the forms that people and programs read: JSON (an object a
// line), CSV and TSV, both with a line of names first, and cells of text for a
// table.
package sqlresult

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Writer writes a result. Begin comes first, once; then Row for each row; then
// End. It is not safe for concurrent use.
type Writer interface {
	Begin(names []string) error
	// Row writes a row, given as a JSON array with a value for each name.
	Row(array string) error
	End() error
}

// Formats are the names that New knows.
var Formats = []string{"json", "csv", "tsv"}

// New makes a writer for one of Formats, nil for another name.
func New(w io.Writer, format string) Writer {
	out := bufio.NewWriter(w)
	switch format {
	case "json":
		return &objects{out: out}
	case "csv":
		return &separated{csv: csv.NewWriter(out)}
	case "tsv":
		return &tabbed{out: out}
	}
	return nil
}

// ContentType is the media type of a format.
func ContentType(format string) string {
	switch format {
	case "csv":
		return "text/csv; charset=utf-8; header=present"
	case "tsv":
		return "text/tab-separated-values; charset=utf-8"
	}
	return "application/x-ndjson"
}

// Cells takes a row apart: texts are themselves, null is the given text, and
// everything else is JSON.
func Cells(array, null string) ([]string, error) {
	values, err := values(array)
	if err != nil {
		return nil, err
	}
	cells := make([]string, len(values))
	for i, v := range values {
		if cells[i], err = cell(v, null); err != nil {
			return nil, err
		}
	}
	return cells, nil
}

func cell(v json.RawMessage, null string) (string, error) {
	switch {
	case string(v) == "null":
		return null, nil
	case len(v) == 0 || v[0] != '"':
		return string(v), nil
	}
	var text string
	if err := json.Unmarshal(v, &text); err != nil {
		return "", fmt.Errorf("decode row: %w", err)
	}
	return text, nil
}

func values(array string) ([]json.RawMessage, error) {
	var out []json.RawMessage
	if err := json.Unmarshal([]byte(array), &out); err != nil {
		return nil, fmt.Errorf("decode row: %w", err)
	}
	return out, nil
}

// objects writes a JSON object a line, values as they came.
type objects struct {
	out   *bufio.Writer
	names []string // as JSON, with a colon
}

func (o *objects) Begin(names []string) error {
	for _, n := range names {
		raw, err := json.Marshal(n)
		if err != nil {
			return fmt.Errorf("encode name: %w", err)
		}
		o.names = append(o.names, string(raw)+":")
	}
	return nil
}

func (o *objects) Row(array string) error {
	values, err := values(array)
	if err != nil {
		return err
	}
	if len(values) != len(o.names) {
		return fmt.Errorf("decode row: %d values for %d columns", len(values), len(o.names))
	}
	_ = o.out.WriteByte('{') // bufio keeps the error for the last write
	for i, v := range values {
		if i > 0 {
			_ = o.out.WriteByte(',')
		}
		_, _ = o.out.WriteString(o.names[i])
		_, _ = o.out.Write(v)
	}
	_, err = o.out.WriteString("}\n")
	return err
}

func (o *objects) End() error { return o.out.Flush() }

// separated writes CSV; null is an empty cell.
type separated struct{ csv *csv.Writer }

func (s *separated) Begin(names []string) error { return s.csv.Write(names) }

func (s *separated) Row(array string) error {
	cells, err := Cells(array, "")
	if err != nil {
		return err
	}
	return s.csv.Write(cells)
}

func (s *separated) End() error {
	s.csv.Flush()
	return s.csv.Error()
}

// tabbed writes TSV as ClickHouse does: escaped, null as \N.
type tabbed struct{ out *bufio.Writer }

var tabEscapes = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

func (t *tabbed) Begin(names []string) error {
	escaped := make([]string, len(names))
	for i, n := range names {
		escaped[i] = tabEscapes.Replace(n)
	}
	_, err := t.out.WriteString(strings.Join(escaped, "\t") + "\n")
	return err
}

func (t *tabbed) Row(array string) error {
	values, err := values(array)
	if err != nil {
		return err
	}
	cells := make([]string, len(values))
	for i, v := range values {
		if string(v) == "null" {
			cells[i] = `\N`
			continue
		}
		text, err := cell(v, "")
		if err != nil {
			return err
		}
		cells[i] = tabEscapes.Replace(text)
	}
	_, err = t.out.WriteString(strings.Join(cells, "\t") + "\n")
	return err
}

func (t *tabbed) End() error { return t.out.Flush() }
