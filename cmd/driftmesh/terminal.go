package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// safeWriter writes text for people and scripts so that no terminal obeys it:
// names and messages come from whoever sent telemetry. What controls a terminal
// (C0, DEL, C1), turns the direction of text or is not UTF-8 is written as an
// escape that is plain to see and, in the strings of JSON, means the same.
type safeWriter struct{ to io.Writer }

// Write implements io.Writer.
func (w safeWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.to, safe(string(p), false)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// safe is text with escapes for what is not to be obeyed; in a line, line ends
// and tabs are among it.
func safe(text string, line bool) string {
	if strings.IndexFunc(text, func(r rune) bool { return unsafe(r, line) }) < 0 {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\ufffd`)
		case r == '\n' && line:
			b.WriteString(`\n`)
		case r == '\t' && line:
			b.WriteString(`\t`)
		case unsafe(r, line):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unsafe(r rune, line bool) bool {
	switch {
	case r == '\n' || r == '\t':
		return line
	case r < ' ', r >= 0x7f && r <= 0x9f, r == utf8.RuneError:
		return true
	case r == 0x61c, r == 0x200e, r == 0x200f, r == 0x2028, r == 0x2029, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true // marks, embeddings, overrides and isolates of direction; separators of lines
	}
	return false
}

// raw is the writer as it is, for what is the program's own: the control of a
// terminal, and bytes that were asked for.
func raw(w io.Writer) io.Writer {
	if s, ok := w.(safeWriter); ok {
		return s.to
	}
	return w
}
