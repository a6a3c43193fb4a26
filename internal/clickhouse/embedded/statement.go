package embedded

import (
	"strings"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
)

// kind is how a statement must be run.
type kind int

const (
	other      kind = iota // run to its end, result whole
	selecting              // result may be streamed
	inserting              // data follows the statement, in a format
	sessionful             // changes the session it runs in
)

// statement is what the HTTP side has to know of a statement.
type statement struct {
	kind   kind
	text   string // without data and, for an insert, without its FORMAT clause
	format string // of the FORMAT clause, "" without; of the data, for an insert
	data   string // the data that stood in the statement itself
}

// maxHead is how many words may stand before the one that settles what a
// statement with a session effect is (CREATE OR REPLACE TEMPORARY …).
const maxHead = 4

// read classifies sql. For INSERT it finds where the statement ends and its
// data begins, and looks no further, for data may be binary.
func read(sql string) statement {
	s := statement{text: sql}
	var words int
	var last, beforeLast sqltext.Word
	for w := range sqltext.Words(sql) {
		words++
		switch {
		case words == 1 && w.Is("INSERT"):
			return readInsert(sql)
		case words == 1:
			s.kind = kindOf(w)
		case words <= maxHead && s.kind == other && w.Is("TEMPORARY"):
			s.kind = sessionful
		case s.kind == selecting && w.Depth == 0 && w.Is("OUTFILE"):
			s.kind = other
		}
		if w.Depth == 0 && w.Text != ";" {
			if beforeLast.Is("FORMAT") && w.Is("SETTINGS") {
				s.format = last.Text
			}
			beforeLast, last = last, w
		}
	}
	if s.kind == selecting && s.format == "" && beforeLast.Is("FORMAT") {
		s.format = last.Text
	}
	return s
}

func kindOf(first sqltext.Word) kind {
	for _, k := range []string{"SELECT", "WITH", "FROM", "("} {
		if first.Is(k) {
			return selecting
		}
	}
	if first.Is("SET") || first.Is("USE") {
		return sessionful
	}
	return other
}

// readInsert cuts INSERT INTO t (…) [SETTINGS …] FORMAT f | VALUES from its
// data. INSERT … SELECT and INSERT … FROM INFILE have none.
func readInsert(sql string) statement {
	var prev, format sqltext.Word
	for w := range sqltext.Words(sql) {
		switch {
		case w.Depth > 0 && sql[w.Start-1] == '(' && (w.Is("SELECT") || w.Is("WITH")):
			return statement{kind: other, text: sql}
		case w.Depth > 0:
			continue
		case w.Start > 0 && sql[w.Start-1] == '.': // db.table, whatever it looks like
		case prev.Is("INTO") || prev.Is("TABLE") || prev.Is("FUNCTION"): // a name, whatever it looks like
		case format.Text != "":
			return statement{kind: inserting, text: sql[:format.Start], format: w.Text, data: afterFormat(sql[w.End:])}
		case w.Is("VALUES"):
			return statement{kind: inserting, text: sql[:w.Start], format: "Values", data: sql[w.End:]}
		case w.Is("FORMAT"):
			format = w
		case w.Is("SELECT"), w.Is("WITH"), w.Is("INFILE"):
			return statement{kind: other, text: sql}
		}
		if w.Text != "(" {
			prev = w
		}
	}
	// No data clause: the data comes in the body, as VALUES.
	return statement{kind: inserting, text: strings.TrimRight(strings.TrimSpace(sql), ";"), format: "Values"}
}

// afterFormat drops what separates the format's name from the data: blanks and
// one line end, or a semicolon that ends the statement.
func afterFormat(rest string) string {
	rest = strings.TrimLeft(rest, " \t\r")
	rest = strings.TrimPrefix(rest, ";")
	return strings.TrimPrefix(rest, "\n")
}

// streams reports whether a result in this format may be handed on piece by
// piece: each piece the engine makes is a whole document of the format, so only
// formats without header and footer can be put together from pieces.
func streams(format string) bool {
	switch strings.ToLower(format) {
	case "native", "rowbinary", "tabseparated", "tsv", "tabseparatedraw", "tsvraw", "csv",
		"jsoneachrow", "jsonlines", "ndjson", "jsoncompacteachrow", "jsonstringseachrow", "linearasstring", "null":
		return true
	}
	return false
}
