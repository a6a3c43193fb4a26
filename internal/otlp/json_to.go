package otlp

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"unicode/utf8"
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

// slot is what a message holds for one field: the value of a singular one, or
// how often a repeated one occurs.
type slot struct {
	bits  uint64
	bytes []byte
	count int
}

// writeMessage writes the object of a message of type m.
func writeMessage(dst []byte, m *message, b []byte, depth int) ([]byte, *problem) {
	if depth > maxJSONDepth {
		return dst, malformed("is nested too deep")
	}
	slots, p := collect(m, b)
	if p != nil {
		return dst, p
	}
	dst = append(dst, '{')
	first := true
	for num, f := range m.byNum {
		if f == nil || slots[num].count == 0 || !f.oneof && slots[num].empty(f) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, '"')
		dst = append(dst, f.json...)
		dst = append(dst, '"', ':')
		if f.repeated {
			dst, p = writeList(dst, f, b, depth)
		} else {
			dst, p = writeValue(dst, f, slots[num], depth)
		}
		if p != nil {
			return dst, fieldProblem(f, 0, p)
		}
	}
	return append(dst, '}'), nil
}

// empty reports whether proto3 leaves the value out.
func (s *slot) empty(f *field) bool {
	if f.repeated || f.kind == kindMessage {
		return false
	}
	return s.bits == 0 && len(s.bytes) == 0
}

// collect reads the fields of m: of a singular one the last value (messages
// merge, and bodies merge by standing behind each other), of a oneof the last.
func collect(m *message, b []byte) ([SpanFlags + 1]slot, *problem) {
	var slots [SpanFlags + 1]slot
	last := 0 // member of the oneof
	for i := 0; i < len(b); {
		tag, next := readTag(b, i)
		if next == bad {
			return slots, malformed(truncated)
		}
		end := skip(b, next, tag)
		f := m.lookup(tag)
		if end == bad {
			return slots, fieldProblem(f, 0, malformed(truncated))
		}
		i = end
		if f == nil {
			continue
		}
		if f.oneof {
			if last != f.num {
				slots[last] = slot{}
			}
			last = f.num
		}
		slots[f.num].set(f, tag, b[next:end])
	}
	return slots, nil
}

// set takes the encoded value v, which is known to be readable.
func (s *slot) set(f *field, tag uint64, v []byte) {
	s.count++
	switch tag & 7 {
	case wireVarint:
		s.bits, _ = readVarint(v, 0)
		switch f.kind {
		case kindBool:
			s.bits = min(s.bits, 1)
		case kindUint32, kindInt32:
			s.bits = uint64(uint32(s.bits))
		default:
		}
	case wireFixed64:
		s.bits = binary.LittleEndian.Uint64(v)
	case wireFixed32:
		s.bits = uint64(binary.LittleEndian.Uint32(v))
	case wireBytes:
		start, _ := readBytes(v, 0)
		if v = v[start:]; f.kind == kindMessage && s.count > 1 && !f.repeated {
			v = append(s.bytes[:len(s.bytes):len(s.bytes)], v...)
		}
		s.bytes = v
	}
}

func writeList(dst []byte, f *field, b []byte, depth int) ([]byte, *problem) {
	dst = append(dst, '[')
	index := 0
	for v := range fields(b, uint64(f.num)) {
		if index > 0 {
			dst = append(dst, ',')
		}
		var p *problem
		if dst, p = writeValue(dst, f, slot{bytes: v.body}, depth); p != nil {
			return dst, p
		}
		index++
	}
	return append(dst, ']'), nil
}

func writeValue(dst []byte, f *field, s slot, depth int) ([]byte, *problem) {
	switch f.kind {
	case kindMessage:
		return writeMessage(dst, f.msg, s.bytes, depth+1)
	case kindString:
		return writeString(dst, s.bytes), nil
	case kindID:
		return append(hex.AppendEncode(append(dst, '"'), s.bytes), '"'), nil
	case kindBytes:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), s.bytes), '"'), nil
	case kindBool:
		return strconv.AppendBool(dst, s.bits != 0), nil
	case kindInt64:
		return append(strconv.AppendInt(append(dst, '"'), int64(s.bits), 10), '"'), nil
	case kindFixed64:
		return append(strconv.AppendUint(append(dst, '"'), s.bits, 10), '"'), nil
	case kindInt32:
		return strconv.AppendInt(dst, int64(int32(uint32(s.bits))), 10), nil
	case kindDouble:
		return writeDouble(dst, math.Float64frombits(s.bits)), nil
	default:
		return strconv.AppendUint(dst, s.bits, 10), nil
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

// writeString writes a JSON string; bytes that are not UTF-8 become U+FFFD.
func writeString(dst, s []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRune(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}
