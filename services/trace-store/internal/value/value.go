// Package value turns the values of OTLP attributes into the text that the
// store keeps in Map(String, String) columns, and back without loss.
//
// A value is stored as text and one letter:
//
//	letter  value            text
//	s       string           as it is
//	i       int              decimal
//	d       double           shortest decimal that reads back equal; NaN, Infinity, -Infinity
//	b       bool             true, false
//	y       bytes            base64
//	a       array            JSON array
//	k       key-value list   JSON object, order and duplicate keys kept
//	n       empty value      (nothing)
//	x       no value at all  (nothing)
//	r       anything else    base64 of the protobuf AnyValue
//
// The JSON is what people and the Collector's exporter expect to read. A
// number with a point or an exponent is a double, one without is an int, null
// is the empty value. What JSON cannot tell apart (bytes, NaN, absent values,
// nesting beyond MaxDepth) goes under r, whole.
package value

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

// Letters that say what a text was.
const (
	String = 's'
	Int    = 'i'
	Double = 'd'
	Bool   = 'b'
	Bytes  = 'y'
	Array  = 'a'
	KVList = 'k'
	Empty  = 'n'
	Absent = 'x'
	Raw    = 'r'
)

// MaxDepth is how deep arrays and key-value lists may nest before they are
// kept as raw protobuf; it bounds the recursion on hostile input.
const MaxDepth = 32

// Field numbers of opentelemetry.proto.common.v1.
const (
	anyString = 1
	anyBool   = 2
	anyInt    = 3
	anyDouble = 4
	anyArray  = 5
	anyKVList = 6
	anyBytes  = 7

	listValues = 1
	kvKey      = 1
	kvValue    = 2
)

var errMalformed = fault.Invalid.New("malformed attribute value").WithReason("MALFORMED")

// Encode gives the letter and the text of an AnyValue in wire form. Text is
// either a view into wire or was appended to buf, which is returned grown.
// Invalid UTF-8 becomes U+FFFD. The error is fault.Invalid when wire is not a
// well-formed message.
func Encode(buf, anyValue []byte) (letter byte, text, grown []byte, err error) {
	c := wire.Of(anyValue)
	if !c.Next() {
		if c.Bad() {
			return 0, nil, buf, errMalformed
		}
		return Empty, nil, buf, nil
	}
	if len(c.Raw) != len(anyValue) { // several fields: protobuf merges them, so do we, by keeping all
		return encodeRaw(buf, anyValue)
	}
	start := len(buf)
	switch {
	case c.Is(anyString, wire.Bytes):
		text, buf = Clean(buf, c.V)
		return String, text, buf, nil
	case c.Is(anyInt, wire.Varint):
		buf, letter = strconv.AppendInt(buf, int64(c.U), 10), Int
	case c.Is(anyBool, wire.Varint):
		buf, letter = strconv.AppendBool(buf, c.U != 0), Bool
	case c.Is(anyDouble, wire.Fixed64):
		buf, letter = appendDouble(buf, math.Float64frombits(c.U)), Double
	case c.Is(anyBytes, wire.Bytes):
		buf, letter = base64.StdEncoding.AppendEncode(buf, c.V), Bytes
	case c.Is(anyArray, wire.Bytes), c.Is(anyKVList, wire.Bytes):
		out, ok := appendJSON(buf, anyValue, 0)
		if !ok {
			return encodeRaw(buf, anyValue)
		}
		buf, letter = out, Array
		if c.Num == anyKVList {
			letter = KVList
		}
	default:
		return encodeRaw(buf, anyValue)
	}
	return letter, buf[start:len(buf):len(buf)], buf, nil
}

func encodeRaw(buf, anyValue []byte) (byte, []byte, []byte, error) {
	if !wellFormed(anyValue, 0) {
		return 0, nil, buf, errMalformed
	}
	start := len(buf)
	buf = base64.StdEncoding.AppendEncode(buf, anyValue)
	return Raw, buf[start:len(buf):len(buf)], buf, nil
}

// Clean returns s itself when it is valid UTF-8, and otherwise a copy in buf
// with U+FFFD for every invalid byte; buf is returned grown.
func Clean(buf, s []byte) (clean, grown []byte) {
	if utf8.Valid(s) {
		return s, buf
	}
	start := len(buf)
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		buf = utf8.AppendRune(buf, r)
		s = s[n:]
	}
	return buf[start:len(buf):len(buf)], buf
}

// appendDouble writes f so that ParseFloat gives it back, always
// distinguishable from an int.
func appendDouble(buf []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(buf, "NaN"...)
	case math.IsInf(f, 1):
		return append(buf, "Infinity"...)
	case math.IsInf(f, -1):
		return append(buf, "-Infinity"...)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(buf, f, format, -1, 64)
}

// wellFormed walks an AnyValue of any shape. Beyond 100 levels, the limit of
// other protobuf readers, a value is refused: nobody could read it back.
func wellFormed(anyValue []byte, depth int) bool {
	const limit = 100
	if depth > limit {
		return false
	}
	c := wire.Of(anyValue)
	for c.Next() {
		switch {
		case c.Is(anyString, wire.Bytes):
			if !utf8.Valid(c.V) {
				return false
			}
		case c.Is(anyArray, wire.Bytes):
			l := wire.Of(c.V)
			for l.Next() {
				if l.Is(listValues, wire.Bytes) && !wellFormed(l.V, depth+1) {
					return false
				}
			}
			if l.Bad() {
				return false
			}
		case c.Is(anyKVList, wire.Bytes):
			if !wellFormedList(c.V, depth) {
				return false
			}
		}
	}
	return !c.Bad()
}

func wellFormedList(list []byte, depth int) bool {
	l := wire.Of(list)
	for l.Next() {
		if l.Is(listValues, wire.Bytes) && !wellFormedMember(l.V, depth) {
			return false
		}
	}
	return !l.Bad()
}

func wellFormedMember(keyValue []byte, depth int) bool {
	kv := wire.Of(keyValue)
	for kv.Next() {
		if kv.Is(kvKey, wire.Bytes) && !utf8.Valid(kv.V) {
			return false
		}
		if kv.Is(kvValue, wire.Bytes) && !wellFormed(kv.V, depth+1) {
			return false
		}
	}
	return !kv.Bad()
}

// Valid reports whether a KeyValue in wire form can be kept as it is: it is
// well-formed, and all its text is UTF-8.
func Valid(keyValue []byte) bool { return wellFormedMember(keyValue, 0) }

// AppendPair appends ["key","text"] in JSON, the form in which the attributes
// of resources are kept for SQL.
func AppendPair(dst, key, text []byte) []byte {
	dst = append(otlp.AppendTextJSON(append(dst, '['), key), ',')
	return append(otlp.AppendTextJSON(dst, text), ']')
}
