package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
)

// FromJSON turns an OTLP/JSON request into OTLP protobuf, by the rules of the
// OTLP specification: lowerCamelCase keys, ids in hex of any case, enums as
// integers only, 64-bit integers as strings or numbers, unknown keys ignored,
// null as absent. The error is a *MalformedError that names the field. Rules
// for spans (lengths of ids, times, UTF-8) are Scan's.
func FromJSON(b []byte) ([]byte, error) { return fromJSON(&schema.request, b) }

// ValueFromJSON turns the OTLP/JSON form of one AnyValue into protobuf; it is
// the inverse of AppendValueJSON.
func ValueFromJSON(b []byte) ([]byte, error) { return fromJSON(&schema.anyValue, b) }

func fromJSON(m *message, b []byte) ([]byte, error) {
	// Protobuf is about half as long as JSON without white space.
	c := converter{lexer: lexer{in: b}, out: make([]byte, 0, len(b)/8*5)}
	c.message(m)
	if c.peek(); c.pos < len(c.in) {
		c.invalid("the end")
	}
	if p := c.problem; p != nil {
		return nil, &MalformedError{Field: p.path, Problem: p.rule}
	}
	return c.out, nil
}

// converter appends protobuf to out as it reads JSON.
type converter struct {
	lexer
	out []byte
}

// message reads an object and writes the body of m.
func (c *converter) message(m *message) {
	for more := c.open(object); more; more = c.more(object) {
		f := m.named(c.key())
		switch {
		case c.problem != nil:
		case f == nil:
			c.skip()
		case !c.literal("null"):
			c.field(f)
		}
	}
}

// field reads the value of f, or the array of its values.
func (c *converter) field(f *field) {
	if !f.repeated {
		c.value(f)
	} else {
		index := 0
		for more := c.open(array); more; more = c.more(array) {
			if c.value(f); c.problem != nil {
				c.problem.at(f.json, index)
				return
			}
			index++
		}
	}
	if c.problem != nil {
		c.problem.in(f.json)
	}
}

// value reads one value of f and writes it with its tag.
func (c *converter) value(f *field) {
	c.varint(uint64(f.num)<<3 | f.kind.wire())
	switch f.kind {
	case kindMessage, kindString, kindID, kindBytes:
		c.framed(f)
	case kindBool:
		switch {
		case c.literal("true"):
			c.out = append(c.out, 1)
		case c.literal("false"):
			c.out = append(c.out, 0)
		default:
			c.fail("must be true or false")
		}
	case kindDouble:
		c.double()
	default:
		c.integer(f.kind)
	}
}

// framed writes a value and its length before it. Room is left for a length
// below 128, which nearly all have.
func (c *converter) framed(f *field) {
	c.out = append(c.out, 0)
	start := len(c.out)
	switch f.kind {
	case kindMessage:
		c.message(f.msg)
	case kindString:
		c.text(&c.out)
	default:
		c.binary(f.kind)
	}
	n := len(c.out) - start
	c.out[start-1] = byte(n)
	if n >= 0x80 {
		var room [binary.MaxVarintLen64]byte
		length := binary.AppendUvarint(room[:0], uint64(n))
		c.out[start-1] = length[0]
		c.out = slices.Insert(c.out, start, length[1:]...)
	}
}

// varint is binary.AppendUvarint, but only ever assigns append(c.out, …) to
// c.out: then the compiler writes no pointer, which the collector would watch.
func (c *converter) varint(v uint64) {
	for ; v >= 0x80; v >>= 7 {
		c.out = append(c.out, byte(v)|0x80)
	}
	c.out = append(c.out, byte(v))
}

// binary reads an id in hex or bytes in base64.
func (c *converter) binary(k kind) {
	s := c.word()
	var err error
	if k == kindID {
		if len(s)%2 != 0 {
			c.fail("must be hex, has an odd number of digits")
		} else if c.out, err = hex.AppendDecode(c.out, s); err != nil {
			c.fail("must be hex")
		}
		return
	}
	// Standard or URL alphabet, with or without padding, as protobuf says.
	alphabet := base64.RawStdEncoding
	if bytes.ContainsAny(s, "-_") {
		alphabet = base64.RawURLEncoding
	}
	if c.out, err = alphabet.AppendDecode(c.out, bytes.TrimRight(s, "=")); err != nil {
		c.fail("must be base64")
	}
}

// numeral reads a number, or a string that should hold one.
func (c *converter) numeral() []byte {
	if c.peek() == '"' {
		return c.word()
	}
	return c.number()
}

func (c *converter) double() {
	s := c.numeral()
	v, err := strconv.ParseFloat(string(s), 64)
	// ParseFloat knows more words and ways to write a number than JSON does.
	if err != nil || !isNumber(s) && !slices.Contains([]string{"NaN", "Infinity", "-Infinity"}, string(s)) {
		c.fail("must be a number that fits a double")
	}
	c.out = binary.LittleEndian.AppendUint64(c.out, math.Float64bits(v))
}

// integer reads an integer of any kind and writes it as that kind.
func (c *converter) integer(k kind) {
	if k == kindInt32 && c.peek() == '"' {
		c.fail("must be an integer, is a string")
	}
	bits, ok := parseInteger(c.numeral(), k)
	if !ok {
		c.fail("must be an integer from " + integerRange(k))
	}
	switch k {
	case kindFixed64:
		c.out = binary.LittleEndian.AppendUint64(c.out, bits)
	case kindFixed32:
		c.out = binary.LittleEndian.AppendUint32(c.out, uint32(bits))
	default:
		c.varint(bits)
	}
}

// parseInteger gives the bits of an integer that k can hold, also of one
// written as 1.5e3 or 2.0.
func parseInteger(s []byte, k kind) (bits uint64, ok bool) {
	var err error
	if k.signed() {
		var v int64
		v, err = strconv.ParseInt(string(s), 10, k.bits())
		bits = uint64(v)
	} else {
		bits, err = strconv.ParseUint(string(s), 10, k.bits())
	}
	if errors.Is(err, strconv.ErrSyntax) {
		if i := exactInteger(s); i != nil {
			return parseInteger(i.Append(nil, 10), k)
		}
	}
	return bits, err == nil
}

// exactInteger reads an integer that is not written as one, or gives nil.
func exactInteger(s []byte) *big.Int {
	const longest, precision = 40, 256 // bytes, and the bits that tell them from an integer
	if len(s) > longest || !bytes.ContainsAny(s, ".eE") || !isNumber(s) {
		return nil
	}
	f, _, err := big.ParseFloat(string(s), 10, precision, big.ToZero)
	if err != nil || f.MantExp(nil) > 64 { // the Int of 1e1000000 is long
		return nil
	}
	if i, accuracy := f.Int(nil); accuracy == big.Exact {
		return i
	}
	return nil
}

// integerRange is what an integer of kind k may be.
func integerRange(k kind) string {
	unused := 64 - k.bits()
	if k.signed() {
		return fmt.Sprintf("%d to %d", math.MinInt64>>unused, math.MaxInt64>>unused)
	}
	return fmt.Sprintf("0 to %d", uint64(math.MaxUint64)>>unused)
}

// bits is the size of an integer of kind k.
func (k kind) bits() int {
	if k == kindInt64 || k == kindFixed64 {
		return 64
	}
	return 32
}

func (k kind) signed() bool { return k == kindInt64 || k == kindInt32 }
