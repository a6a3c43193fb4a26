// Package sqltext finds its way through the text of ClickHouse statements:
// enough of a lexer to see the words outside of strings, comments and
// parentheses, and to cut a file into statements. It is no parser: what it
// does not understand it leaves alone.
package sqltext

import (
	"iter"
	"strings"
)

// Word is one bare word, quoted identifier, or separator of a statement.
type Word struct {
	// Text is the word as written; for an opening parenthesis "(", for the end
	// of a statement ";".
	Text string
	// Start and End are its byte offsets.
	Start, End int
	// Depth counts the parentheses, brackets and braces around it.
	Depth int
}

// Is reports whether the word is the given keyword, in any case.
func (w Word) Is(keyword string) bool { return strings.EqualFold(w.Text, keyword) }

// Words yields the words of sql in order. Strings, numbers, operators and
// comments are skipped. Text behind an unterminated string or comment belongs
// to it.
func Words(sql string) iter.Seq[Word] {
	return func(yield func(Word) bool) {
		depth := 0
		for i := 0; i < len(sql); {
			end, word := next(sql, i)
			if word {
				if !yield(Word{Text: sql[i:end], Start: i, End: end, Depth: depth}) {
					return
				}
			}
			switch sql[i] {
			case '(', '[', '{':
				depth++
			case ')', ']', '}':
				depth = max(depth-1, 0)
			}
			i = end
		}
	}
}

// next is the end of the lexeme at i and whether it is a Word.
func next(sql string, i int) (end int, word bool) {
	switch c := sql[i]; {
	case c == '\'':
		return quoted(sql, i), false
	case c == '`' || c == '"':
		return quoted(sql, i), true
	case strings.HasPrefix(sql[i:], "--"), strings.HasPrefix(sql[i:], "#!"), strings.HasPrefix(sql[i:], "# "):
		return until(sql, i, "\n"), false
	case strings.HasPrefix(sql[i:], "/*"):
		return until(sql, i+2, "*/"), false
	case c == ';' || c == '(':
		return i + 1, true
	case letter(c):
		for end = i + 1; end < len(sql) && (letter(sql[end]) || digit(sql[end])); end++ {
		}
		return end, true
	case digit(c):
		for end = i + 1; end < len(sql) && (letter(sql[end]) || digit(sql[end])); end++ {
		}
		return end, false
	}
	return i + 1, false
}

// quoted is the end of the quoted text that opens at i; backslash and doubling
// both escape the quote.
func quoted(sql string, i int) int {
	q := sql[i]
	for j := i + 1; j < len(sql); j++ {
		switch {
		case sql[j] == '\\':
			j++
		case sql[j] == q && j+1 < len(sql) && sql[j+1] == q:
			j++
		case sql[j] == q:
			return j + 1
		}
	}
	return len(sql)
}

func until(sql string, from int, mark string) int {
	if n := strings.Index(sql[min(from, len(sql)):], mark); n >= 0 {
		return from + n + len(mark)
	}
	return len(sql)
}

func letter(c byte) bool {
	return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// Split cuts sql at the semicolons between statements and drops what is empty
// or only comment. The statements keep their comments.
func Split(sql string) []string {
	var out []string
	start, blank := 0, true
	add := func(end int) {
		if !blank {
			out = append(out, strings.TrimSpace(sql[start:end]))
		}
	}
	for w := range Words(sql) {
		if w.Text != ";" || w.Depth > 0 {
			blank = false
			continue
		}
		add(w.Start)
		start, blank = w.End, true
	}
	add(len(sql))
	return out
}

// Quote is text as a ClickHouse string literal.
func Quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// Identifier is name as a quoted ClickHouse identifier.
func Identifier(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}
