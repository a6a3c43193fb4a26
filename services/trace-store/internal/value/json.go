package value

import (
	"bytes"
	"math"
	"strconv"

	"github.com/driftmesh/driftmesh/internal/otlp"
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
		return otlp.AppendTextJSON(buf, c.V), true
	case c.Is(anyInt, wire.Varint):
		return strconv.AppendInt(buf, int64(c.U), 10), true
	case c.Is(anyBool, wire.Varint):
		return strconv.AppendBool(buf, c.U != 0), true
	case c.Is(anyDouble, wire.Fixed64):
		return appendJSONDouble(buf, math.Float64frombits(c.U))
	case c.Is(anyArray, wire.Bytes):
		return appendList(buf, c.V, "[]", depth+1, appendJSON)
	case c.Is(anyKVList, wire.Bytes):
		return appendList(buf, c.V, "{}", depth+1, appendMember)
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

// appendList writes the values of a list, each with item, between brackets.
func appendList(buf, list []byte, brackets string, depth int, item func(buf, v []byte, depth int) ([]byte, bool)) ([]byte, bool) {
	buf = append(buf, brackets[0])
	l := wire.Of(list)
	var ok bool
	for first := true; l.Next(); first = false {
		if !l.Is(listValues, wire.Bytes) {
			return buf, false
		}
		if !first {
			buf = append(buf, ',')
		}
		if buf, ok = item(buf, l.V, depth); !ok {
			return buf, false
		}
	}
	return append(buf, brackets[1]), !l.Bad()
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
	buf = append(otlp.AppendTextJSON(buf, key), ':')
	return appendJSON(buf, val, depth)
}
