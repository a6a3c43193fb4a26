package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// ToJSON turns an OTLP protobuf request into OTLP/JSON: ids in hex, 64-bit
// integers as strings, enums as integers, zero values left out. The error is a
// *MalformedError.
func ToJSON(b []byte) ([]byte, error) {
	return appendJSON(make([]byte, 0, 2*len(b)+2), &schema.request, b)
}

// AppendValueJSON appends the OTLP/JSON form of one AnyValue, given as
// protobuf, to dst.
func AppendValueJSON(dst, anyValue []byte) ([]byte, error) {
	return appendJSON(dst, &schema.anyValue, anyValue)
}

func appendJSON(dst []byte, m *message, b []byte) ([]byte, error) {
	out, p := writeMessage(dst, m, b, 0)
	if p != nil {
		return dst, &MalformedError{Field: p.path, Problem: p.rule}
	}
	return out, nil
}

// writeMessage writes the object of a message of type m.
func writeMessage(dst []byte, m *message, b []byte, depth int) ([]byte, *problem) {
	if depth > maxJSONDepth {
		return dst, malformed("is nested too deep")
	}
	var found [SpanFlags + 1]occurrences
	p := find(&found, m, b)
	if p != nil {
		return dst, p
	}
	dst = append(dst, '{')
	start := len(dst)
	for i := range m.fields {
		f := &m.fields[i]
		at := found[f.num]
		if at.last == 0 {
			continue
		}
		var v value
		if !f.repeated {
			v = at.read(f, b)
			if v.bits == 0 && len(v.body) == 0 && !f.oneof && f.kind != kindMessage {
				continue
			}
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), f.json...), '"', ':')
		if f.repeated {
			dst, p = writeList(dst, f, b[at.first:], depth)
		} else {
			dst, p = writeValue(dst, f, v, depth)
		}
		if p != nil {
			return dst, fieldProblem(f, 0, p)
		}
	}
	return append(dst, '}'), nil
}

// occurrences is where a field stands in a message: its first tag and its last
// value, which is 0 if there is none.
type occurrences struct{ first, last int }

// find looks for the fields of m. Of a oneof only the last member counts.
func find(found *[SpanFlags + 1]occurrences, m *message, b []byte) *problem {
	member := 0
	for i := 0; i < len(b); {
		tag, next := readTag(b, i)
		if next == bad {
			return malformed(truncated)
		}
		end := skip(b, next, tag)
		f := m.lookup(tag)
		if end == bad {
			return fieldProblem(f, 0, malformed(truncated))
		}
		if f != nil {
			if f.oneof && member != f.num {
				found[member] = occurrences{}
				member = f.num
			}
			at := &found[f.num]
			if at.last == 0 {
				at.first = i
			}
			at.last = next
		}
		i = end
	}
	return nil
}

// value is what a field holds: bits, or the body of a text or message.
type value struct {
	bits uint64
	body []byte
}

// read gives the last value of f, which is not repeated. Messages merge, and
// they merge by standing behind each other.
func (at occurrences) read(f *field, b []byte) (v value) {
	switch f.kind {
	case kindMessage:
		for o := range fields(b[at.first:], uint64(f.num)) {
			if v.body == nil {
				v.body = slices.Clip(o.body)
			} else {
				v.body = append(v.body, o.body...)
			}
		}
	case kindString, kindBytes, kindID:
		start, end := readBytes(b, at.last)
		v.body = b[start:end]
	case kindFixed64, kindDouble:
		v.bits = binary.LittleEndian.Uint64(b[at.last:])
	case kindFixed32:
		v.bits = uint64(binary.LittleEndian.Uint32(b[at.last:]))
	default:
		v.bits, _ = readVarint(b, at.last)
	}
	return v
}

func writeList(dst []byte, f *field, b []byte, depth int) (_ []byte, p *problem) {
	dst = append(dst, '[')
	start := len(dst)
	for o := range fields(b, uint64(f.num)) {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		if dst, p = writeValue(dst, f, value{body: o.body}, depth); p != nil {
			return dst, p
		}
	}
	return append(dst, ']'), nil
}

func writeValue(dst []byte, f *field, v value, depth int) ([]byte, *problem) {
	switch f.kind {
	case kindMessage:
		return writeMessage(dst, f.msg, v.body, depth+1)
	case kindString:
		return AppendTextJSON(dst, v.body), nil
	case kindID:
		return append(hex.AppendEncode(append(dst, '"'), v.body), '"'), nil
	case kindBytes:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v.body), '"'), nil
	case kindBool:
		return strconv.AppendBool(dst, v.bits != 0), nil
	case kindInt64:
		return append(strconv.AppendInt(append(dst, '"'), int64(v.bits), 10), '"'), nil
	case kindFixed64:
		return append(strconv.AppendUint(append(dst, '"'), v.bits, 10), '"'), nil
	case kindInt32:
		return strconv.AppendInt(dst, int64(int32(uint32(v.bits))), 10), nil
	case kindDouble:
		return writeDouble(dst, math.Float64frombits(v.bits)), nil
	default:
		return strconv.AppendUint(dst, uint64(uint32(v.bits)), 10), nil
	}
}

func writeDouble(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

// AppendTextJSON appends s as a JSON string; what is not UTF-8 becomes U+FFFD.
func AppendTextJSON(dst, s []byte) []byte {
	if !text(s) {
		s = bytes.ToValidUTF8(s, []byte("\uFFFD"))
	}
	dst = append(dst, '"')
	for {
		n := plain(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return append(dst, '"')
		}
		switch c := s[n]; {
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < ' ':
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			dst = append(dst, '\\', c)
		}
		s = s[n+1:]
	}
}
