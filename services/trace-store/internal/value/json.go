package value

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

// appendJSON writes an AnyValue as JSON. It reports false when JSON could not
// give it back, or when it is malformed: buf is then unspecified beyond its
// old length.
func appendJSON(buf, anyValue []byte, depth int) ([]byte, bool) {
	c := wire.Of(anyValue)
	if !c.Next() {
		return append(buf, "null"...), !c.Bad()
	}
	if len(c.Raw) != len(anyValue) || depth > MaxDepth {
		return buf, false
	}
	switch {
	case c.Is(anyString, wire.Bytes):
		return appendQuoted(buf, c.V), true
	case c.Is(anyInt, wire.Varint):
		return strconv.AppendInt(buf, int64(c.U), 10), true
	case c.Is(anyBool, wire.Varint):
		return strconv.AppendBool(buf, c.U != 0), true
	case c.Is(anyDouble, wire.Fixed64):
		return appendJSONDouble(buf, math.Float64frombits(c.U))
	case c.Is(anyArray, wire.Bytes):
		return appendArray(buf, c.V, depth)
	case c.Is(anyKVList, wire.Bytes):
		return appendObject(buf, c.V, depth)
	}
	return buf, false
}

func appendJSONDouble(buf []byte, f float64) ([]byte, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return buf, false
	}
	start := len(buf)
	buf = appendDouble(buf, f)
	if !bytes.ContainsAny(buf[start:], ".e") {
		buf = append(buf, ".0"...)
	}
	return buf, true
}

func appendArray(buf, list []byte, depth int) ([]byte, bool) {
	buf = append(buf, '[')
	l := wire.Of(list)
	var ok bool
	for first := true; l.Next(); first = false {
		if !l.Is(listValues, wire.Bytes) {
			return buf, false
		}
		if !first {
			buf = append(buf, ',')
		}
		if buf, ok = appendJSON(buf, l.V, depth+1); !ok {
			return buf, false
		}
	}
	return append(buf, ']'), !l.Bad()
}

func appendObject(buf, list []byte, depth int) ([]byte, bool) {
	buf = append(buf, '{')
	l := wire.Of(list)
	var ok bool
	for first := true; l.Next(); first = false {
		if !l.Is(listValues, wire.Bytes) {
			return buf, false
		}
		if !first {
			buf = append(buf, ',')
		}
		if buf, ok = appendMember(buf, l.V, depth); !ok {
			return buf, false
		}
	}
	return append(buf, '}'), !l.Bad()
}

// appendMember writes "key":value. A member without a value, or with fields
// we don't know, is not for JSON.
func appendMember(buf, keyValue []byte, depth int) ([]byte, bool) {
	var key, val []byte
	hasValue := false
	c := wire.Of(keyValue)
	for c.Next() {
		switch {
		case c.Is(kvKey, wire.Bytes):
			key = c.V
		case c.Is(kvValue, wire.Bytes) && !hasValue:
			val, hasValue = c.V, true
		default:
			return buf, false
		}
	}
	if c.Bad() || !hasValue {
		return buf, false
	}
	buf = append(appendQuoted(buf, key), ':')
	return appendJSON(buf, val, depth+1)
}

const hexDigits = "0123456789abcdef"

// appendQuoted writes a JSON string; invalid UTF-8 becomes U+FFFD.
func appendQuoted(buf, s []byte) []byte {
	buf = append(buf, '"')
	for i := 0; i < len(s); {
		b := s[i]
		switch {
		case b == '"' || b == '\\':
			buf = append(buf, '\\', b)
			i++
		case b == '\n':
			buf = append(buf, '\\', 'n')
			i++
		case b < 0x20:
			buf = append(buf, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
			i++
		case b < utf8.RuneSelf:
			buf = append(buf, b)
			i++
		default:
			r, n := utf8.DecodeRune(s[i:])
			buf = utf8.AppendRune(buf, r)
			i += n
		}
	}
	return append(buf, '"')
}
