package otlp

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth bounds objects and arrays inside each other, known or not.
const maxJSONDepth = 256

// lexer reads JSON (RFC 8259) token by token.
type lexer struct {
	in    []byte
	pos   int
	depth int
}

func (l *lexer) invalid(want string) *problem {
	if l.pos >= len(l.in) {
		return malformed("ends where " + want + " should be")
	}
	return malformed(fmt.Sprintf("is not valid JSON at byte %d: want %s", l.pos, want))
}

// peek skips white space and returns the next byte, 0 at the end.
func (l *lexer) peek() byte {
	for l.pos < len(l.in) {
		switch c := l.in[l.pos]; c {
		case ' ', '\t', '\n', '\r':
			l.pos++
		default:
			return c
		}
	}
	return 0
}

// take consumes c if it comes next.
func (l *lexer) take(c byte) bool {
	if l.peek() != c {
		return false
	}
	l.pos++
	return true
}

// word consumes a literal such as null.
func (l *lexer) word(w string) bool {
	if l.peek() == 0 || len(l.in)-l.pos < len(w) || string(l.in[l.pos:l.pos+len(w)]) != w {
		return false
	}
	l.pos += len(w)
	return true
}

// list reads open, items separated by commas, and shut.
func (l *lexer) list(open, shut byte, what string, item func(index int) *problem) *problem {
	if !l.take(open) {
		return l.invalid(what)
	}
	if l.depth++; l.depth > maxJSONDepth {
		return malformed(fmt.Sprintf("is nested more than %d deep", maxJSONDepth))
	}
	defer func() { l.depth-- }()
	if l.take(shut) {
		return nil
	}
	for index := 0; ; index++ {
		if p := item(index); p != nil {
			return p
		}
		if l.take(shut) {
			return nil
		}
		if !l.take(',') {
			return l.invalid("a comma or " + string(shut))
		}
	}
}

// object reads an object; value must consume the value of each key. The key is
// valid until value returns.
func (l *lexer) object(value func(key []byte) *problem) *problem {
	return l.list('{', '}', "an object", func(int) *problem {
		var short [64]byte
		key, p := l.text(short[:0])
		if p != nil {
			return p
		}
		if !l.take(':') {
			return l.invalid("a colon")
		}
		return value(key)
	})
}

// text reads a string and appends what it means to dst. Bytes that are not
// UTF-8 stay as they are, for Scan to find.
func (l *lexer) text(dst []byte) ([]byte, *problem) {
	if !l.take('"') {
		return nil, l.invalid("a string")
	}
	for l.pos < len(l.in) {
		start := l.pos
		for l.pos < len(l.in) && l.in[l.pos] != '"' && l.in[l.pos] != '\\' && l.in[l.pos] >= ' ' {
			l.pos++
		}
		dst = append(dst, l.in[start:l.pos]...)
		if l.pos == len(l.in) {
			break
		}
		switch l.in[l.pos] {
		case '"':
			l.pos++
			return dst, nil
		case '\\':
			l.pos++
			var ok bool
			if dst, ok = l.escape(dst); !ok {
				return nil, l.invalid("an escape")
			}
		default:
			return nil, l.invalid("no control character")
		}
	}
	return nil, l.invalid(`"`)
}

var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads what follows a backslash.
func (l *lexer) escape(dst []byte) ([]byte, bool) {
	if l.pos >= len(l.in) {
		return dst, false
	}
	c := l.in[l.pos]
	if e := escapes[c]; e != 0 {
		l.pos++
		return append(dst, e), true
	}
	r, ok := l.unicode()
	if !ok {
		return dst, false
	}
	if utf16.IsSurrogate(r) {
		back := l.pos
		if l.pos < len(l.in) && l.in[l.pos] == '\\' {
			l.pos++
			if low, ok := l.unicode(); ok {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					return utf8.AppendRune(dst, pair), true
				}
			}
		}
		l.pos, r = back, utf8.RuneError
	}
	return utf8.AppendRune(dst, r), true
}

// unicode reads uXXXX.
func (l *lexer) unicode() (rune, bool) {
	if len(l.in)-l.pos < 5 || l.in[l.pos] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range l.in[l.pos+1 : l.pos+5] {
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	l.pos += 5
	return r, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// number reads a number and returns its text.
func (l *lexer) number() ([]byte, *problem) {
	l.peek()
	start := l.pos
	l.optional('-')
	if !l.optional('0') && !l.digits() {
		return nil, l.invalid("a number")
	}
	if l.optional('.') && !l.digits() {
		return nil, l.invalid("a digit")
	}
	if l.optional('e') || l.optional('E') {
		if !l.optional('+') {
			l.optional('-')
		}
		if !l.digits() {
			return nil, l.invalid("a digit")
		}
	}
	return l.in[start:l.pos], nil
}

func (l *lexer) optional(c byte) bool {
	if l.pos < len(l.in) && l.in[l.pos] == c {
		l.pos++
		return true
	}
	return false
}

func (l *lexer) digits() bool {
	start := l.pos
	for l.pos < len(l.in) && l.in[l.pos] >= '0' && l.in[l.pos] <= '9' {
		l.pos++
	}
	return l.pos > start
}

// skipValue reads any value and forgets it.
func (l *lexer) skipValue() *problem {
	switch c := l.peek(); {
	case c == '{':
		return l.object(func([]byte) *problem { return l.skipValue() })
	case c == '[':
		return l.list('[', ']', "an array", func(int) *problem { return l.skipValue() })
	case c == '"':
		var short [64]byte
		_, p := l.text(short[:0])
		return p
	case c == '-' || c >= '0' && c <= '9':
		_, p := l.number()
		return p
	}
	if l.word("null") || l.word("true") || l.word("false") {
		return nil
	}
	return l.invalid("a value")
}
