package evaluate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Decode reads a JSON document; numbers keep how they were written.
func Decode(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("read JSON: there is more than one value")
	}
	return v, nil
}

// whole reports whether a number is written as a whole one that fits into 64 bits,
// which is another than one with a fraction although the values are the same.
func whole(n json.Number) (positive uint64, negative int64, ok bool) {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil && i < 0 {
		return 0, i, true
	}
	u, err := strconv.ParseUint(string(n), 10, 64)
	return u, 0, err == nil
}

// number is a value as a number.
func number(v any) (float64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(n), 64)
	return f, err == nil
}

// num is a number as Decode would have it.
func num(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil // JSON has none
	}
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return json.Number(text)
}

func count(n int) any { return json.Number(strconv.Itoa(n)) }

// same reports whether two values are equal, of the same kind of number.
func same(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a, b)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !same(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, v := range a {
			if other, there := b[name]; !there || !same(v, other) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case json.Number, []any, map[string]any:
		return false
	}
	return a == b
}

func sameNumber(a, b json.Number) bool {
	pa, na, wa := whole(a)
	pb, nb, wb := whole(b)
	if wa != wb {
		return false
	}
	if wa {
		return pa == pb && na == nb
	}
	fa, oka := number(a)
	fb, okb := number(b)
	return oka && okb && fa == fb
}

// key is a text that equal values have in common, and no others.
func key(v any) string {
	var b strings.Builder
	writeKey(&b, v)
	return b.String()
}

func writeKey(b *strings.Builder, v any) {
	switch v := v.(type) {
	case json.Number:
		if p, n, ok := whole(v); ok {
			fmt.Fprintf(b, "%d/%d", p, n)
			return
		}
		f, _ := number(v)
		b.WriteString("f" + strconv.FormatFloat(f, 'g', -1, 64))
	case []any:
		b.WriteByte('[')
		for _, item := range v {
			writeKey(b, item)
			b.WriteByte(',')
		}
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(strconv.Quote(name) + ":")
			writeKey(b, v[name])
			b.WriteByte(',')
		}
		b.WriteByte('}')
	default:
		raw, _ := json.Marshal(v) // a text, true, false or null
		b.Write(raw)
	}
}

// length is how long a value is.
func length(v any) (int, bool) {
	switch v := v.(type) {
	case string:
		return utf8.RuneCountInString(v), true
	case []any:
		return len(v), true
	case map[string]any:
		return len(v), true
	}
	return 0, false
}

// cut shortens UTF-8 to at most so many bytes.
func cut(raw []byte, most int) []byte {
	for most > 0 && most < len(raw) && !utf8.RuneStart(raw[most]) {
		most--
	}
	return raw[:min(most, len(raw))]
}
