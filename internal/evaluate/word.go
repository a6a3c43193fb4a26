package evaluate

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// wordRune reports whether a rune belongs to words, in any script.
func wordRune(r rune) bool {
	return alphabetic(r) || unicode.In(r, unicode.M, unicode.Nd, unicode.Pc, unicode.Join_Control)
}

// edge reports whether a word begins or ends at a position.
func edge(s string, at int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:at])
	after, _ := utf8.DecodeRuneInString(s[at:])
	return (at > 0 && wordRune(before)) != (at < len(s) && wordRune(after))
}

// containsWord looks for a text that begins and ends where words do.
func containsWord(s, word string) bool {
	for from := 0; ; {
		i := strings.Index(s[from:], word)
		if i < 0 {
			return false
		}
		if at := from + i; edge(s, at) && edge(s, at+len(word)) {
			return true
		}
		_, size := utf8.DecodeRuneInString(s[from+i:])
		if size == 0 {
			return false
		}
		from += i + size
	}
}

// classes are the classes of all scripts, as they stand within brackets.
var classes = map[byte]string{
	'd': `\p{Nd}`, 'w': `\p{L}\p{Nl}\p{M}\p{Nd}\p{Pc}`, 's': `\t\n\v\f\r \x{85}\p{Z}`,
}

// wide writes the classes of a pattern, which are of ASCII in Go, so that they are of
// all scripts.
func wide(text string) string {
	var out strings.Builder
	within := false // brackets
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '\\' || i+1 == len(text) {
			switch {
			case c == '[' && !within:
				within = true
				if strings.HasPrefix(text[i+1:], "]") || strings.HasPrefix(text[i+1:], "^]") { // then it is one of the class
					n := strings.IndexByte(text[i:], ']')
					out.WriteString(text[i : i+n+1])
					i += n
					continue
				}
			case c == ']':
				within = false
			}
			out.WriteByte(c)
			continue
		}
		i++
		class, is := classes[text[i]|0x20]
		negative := text[i] < 'a'
		switch {
		case is && within && !negative:
			out.WriteString(class)
		case is && !within && !negative:
			out.WriteString("[" + class + "]")
		case is && !within && negative:
			out.WriteString("[^" + class + "]")
		default:
			out.WriteByte('\\')
			out.WriteByte(text[i])
		}
	}
	return out.String()
}
