package otlp

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth bounds objects and arrays inside each other, known or not.
const maxJSONDepth = 256

// lexer reads JSON (RFC 8259) token by token. What is read after the first
// problem means nothing, and open and more end every loop.
type lexer struct {
	in      []byte
	pos     int
	depth   int
	problem *problem // the first
	scratch []byte   // of word, for a string with escapes
}

func (l *lexer) fail(rule string) {
	if l.problem == nil {
		l.problem = malformed(rule)
	}
}

func (l *lexer) invalid(want string) {
	if l.pos >= len(l.in) {
		l.fail("ends where " + want + " should be")
	} else {
		l.fail(fmt.Sprintf("is not valid JSON at byte %d: want %s", l.pos, want))
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (l *lexer) peek() byte {
	for ; l.pos < len(l.in); l.pos++ {
		if c := l.in[l.pos]; c > ' ' || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

// take consumes c if it comes next.
func (l *lexer) take(c byte) bool {
	l.peek()
	return l.here(c)
}

// here consumes c if it stands here, behind no white space.
func (l *lexer) here(c byte) bool {
	if l.pos < len(l.in) && l.in[l.pos] == c {
		l.pos++
		return true
	}
	return false
}

// literal consumes a word such as null.
func (l *lexer) literal(w string) bool {
	if l.peek() != w[0] || len(l.in)-l.pos < len(w) || string(l.in[l.pos:l.pos+len(w)]) != w {
		return false
	}
	l.pos += len(w)
	return true
}

// brackets stand around the items of an object or an array.
type brackets struct {
	open, shut byte
	name       string
}

var (
	object = &brackets{'{', '}', "an object"}
	array  = &brackets{'[', ']', "an array"}
)

// open reads the first bracket and reports whether an item follows; more does
// the same behind each item. Where none follows, the last bracket is read.
func (l *lexer) open(b *brackets) bool {
	if !l.take(b.open) {
		l.invalid(b.name)
	} else if l.depth++; l.depth > maxJSONDepth {
		l.fail(fmt.Sprintf("is nested more than %d deep", maxJSONDepth))
	}
	return l.problem == nil && !l.shut(b)
}

func (l *lexer) more(b *brackets) bool {
	if l.problem != nil || l.shut(b) {
		return false
	}
	if !l.take(',') {
		l.invalid("a comma or " + string(b.shut))
	}
	return l.problem == nil
}

func (l *lexer) shut(b *brackets) bool {
	if !l.take(b.shut) {
		return false
	}
	l.depth--
	return true
}

// key reads the key of an object's item and the colon.
func (l *lexer) key() []byte {
	key := l.word()
	if !l.take(':') {
		l.invalid("a colon")
	}
	return key
}

// word reads a string that is wanted for a moment: what it returns is part of
// the input where nothing is escaped, else valid until the next word.
func (l *lexer) word() []byte {
	start := l.pos
	if l.take('"') {
		if plain := l.plain(); l.here('"') {
			return plain
		}
	}
	l.pos, l.scratch = start, l.scratch[:0]
	l.text(&l.scratch)
	return l.scratch
}

// text reads a string and appends what it means to dst. Bytes that are not
// UTF-8 stay as they are, for Scan to find.
func (l *lexer) text(dst *[]byte) {
	if !l.take('"') {
		l.invalid("a string")
	}
	for l.problem == nil {
		*dst = append(*dst, l.plain()...)
		switch {
		case l.here('"'):
			return
		case l.here('\\'):
			l.escape(dst)
		case l.pos == len(l.in):
			l.invalid(`"`)
		default:
			l.invalid("no control character")
		}
	}
}

// plain steps over bytes of a string that stand for themselves.
func (l *lexer) plain() []byte {
	rest := l.in[l.pos:]
	rest = rest[:plain(rest)]
	l.pos += len(rest)
	return rest
}

// plain is how many bytes at the beginning of s stand for themselves in JSON.
func plain(s []byte) int {
	for i, c := range s {
		if special[c] {
			return i
		}
	}
	return len(s)
}

// special are the bytes that end a string or must not stand in one as they are.
var special = func() (s [256]bool) {
	s['"'], s['\\'] = true, true
	for c := range ' ' {
		s[c] = true
	}
	return s
}()

var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads what follows a backslash.
func (l *lexer) escape(dst *[]byte) {
	if l.pos < len(l.in) && escapes[l.in[l.pos]] != 0 {
		*dst = append(*dst, escapes[l.in[l.pos]])
		l.pos++
		return
	}
	r, ok := l.unicode()
	if !ok {
		l.invalid("an escape")
	}
	if back := l.pos; utf16.IsSurrogate(r) {
		var second rune
		if l.here('\\') {
			second, _ = l.unicode()
		}
		if r = utf16.DecodeRune(r, second); r == utf8.RuneError {
			l.pos = back // what is no second half stands for itself
		}
	}
	*dst = utf8.AppendRune(*dst, r)
}

// unicode reads uXXXX.
func (l *lexer) unicode() (rune, bool) {
	if len(l.in)-l.pos < 5 || l.in[l.pos] != 'u' {
		return 0, false
	}
	r, err := strconv.ParseUint(string(l.in[l.pos+1:l.pos+5]), 16, 16)
	if err != nil {
		return 0, false
	}
	l.pos += 5
	return rune(r), true
}

// number reads a number and returns its text.
func (l *lexer) number() []byte {
	start := l.pos
	l.here('-')
	if !l.here('0') {
		l.digits()
	}
	if l.here('.') {
		l.digits()
	}
	if l.here('e') || l.here('E') {
		if !l.here('+') {
			l.here('-')
		}
		l.digits()
	}
	return l.in[start:l.pos]
}

func (l *lexer) digits() {
	start := l.pos
	for l.pos < len(l.in) && l.in[l.pos] >= '0' && l.in[l.pos] <= '9' {
		l.pos++
	}
	if l.pos == start {
		l.invalid("a digit")
	}
}

// isNumber reports whether all of s is a number.
func isNumber(s []byte) bool {
	l := lexer{in: s}
	l.number()
	return l.problem == nil && l.pos == len(s)
}

// skip reads any value and forgets it.
func (l *lexer) skip() {
	switch l.peek() {
	case '{':
		for more := l.open(object); more; more = l.more(object) {
			l.key()
			l.skip()
		}
	case '[':
		for more := l.open(array); more; more = l.more(array) {
			l.skip()
		}
	case '"':
		l.word()
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		l.number()
	default:
		if !l.literal("null") && !l.literal("true") && !l.literal("false") {
			l.invalid("a value")
		}
	}
}
