package otlp

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
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
	c := converter{lexer: lexer{in: b}, out: make([]byte, 0, len(b)/2)}
	p := c.message(m)
	if p == nil && c.peek() != 0 {
		p = c.invalid("the end")
	}
	if p == nil && c.pos < len(c.in) {
		p = c.invalid("the end") // a zero byte
	}
	if p != nil {
		return nil, &MalformedError{Field: p.path, Problem: p.rule}
	}
	return c.out, nil
}

// converter appends protobuf to out as it reads JSON.
type converter struct {
	lexer
	out     []byte
	scratch []byte
}

// message reads an object and writes the body of m.
func (c *converter) message(m *message) *problem {
	return c.object(func(key []byte) *problem {
		f := m.byJSON[string(key)]
		if f == nil {
			return c.skipValue()
		}
		if c.word("null") {
			return nil
		}
		if !f.repeated {
			return c.named(f, c.value(f))
		}
		return c.named(f, c.list('[', ']', "an array", func(index int) *problem {
			if p := c.value(f); p != nil {
				return elementProblem(p, index)
			}
			return nil
		}))
	})
}

// elementProblem puts the index before the path; named completes it.
func elementProblem(p *problem, index int) *problem {
	at := "[" + strconv.Itoa(index) + "]"
	if p.path != "" {
		at += "."
	}
	p.path = at + p.path
	return p
}

func (c *converter) named(f *field, p *problem) *problem {
	switch {
	case p == nil:
	case strings.HasPrefix(p.path, "["):
		p.path = f.json + p.path
	case p.path == "":
		p.path = f.json
	default:
		p.path = f.json + "." + p.path
	}
	return p
}

// value reads one value of f and writes it with its tag.
func (c *converter) value(f *field) *problem {
	c.out = protowire.AppendTag(c.out, protowire.Number(f.num), protowire.Type(f.kind.wire()))
	switch f.kind {
	case kindMessage:
		start := len(c.out)
		if p := c.message(f.msg); p != nil {
			return p
		}
		c.insertLength(start)
	case kindString:
		start := len(c.out)
		out, p := c.text(c.out)
		if p != nil {
			return p
		}
		c.out = out
		c.insertLength(start)
	case kindID, kindBytes:
		return c.binary(f.kind)
	case kindBool:
		switch {
		case c.word("true"):
			c.out = append(c.out, 1)
		case c.word("false"):
			c.out = append(c.out, 0)
		default:
			return malformed("must be true or false")
		}
	case kindDouble:
		return c.double()
	default:
		return c.integer(f.kind)
	}
	return nil
}

// insertLength puts the length of out[start:] before it.
func (c *converter) insertLength(start int) {
	n := len(c.out) - start
	var prefix [binary.MaxVarintLen64]byte
	c.out = slices.Insert(c.out, start, binary.AppendUvarint(prefix[:0], uint64(n))...)
}

// binary reads an id in hex or bytes in base64.
func (c *converter) binary(k kind) *problem {
	s, p := c.text(c.scratch[:0])
	if p != nil {
		return p
	}
	c.scratch = s
	start := len(c.out)
	if k == kindID {
		if len(s)%2 != 0 {
			return malformed("must be hex, has an odd number of digits")
		}
		for i := 0; i < len(s); i += 2 {
			high, ok1 := hexDigit(s[i])
			low, ok2 := hexDigit(s[i+1])
			if !ok1 || !ok2 {
				return malformed("must be hex")
			}
			c.out = append(c.out, high<<4|low)
		}
	} else {
		// Standard or URL alphabet, with or without padding, as protobuf says.
		text := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(string(s), "="))
		raw, err := base64.RawStdEncoding.DecodeString(text)
		if err != nil {
			return malformed("must be base64")
		}
		c.out = append(c.out, raw...)
	}
	c.insertLength(start)
	return nil
}

// numeral reads a number, or a string that should hold one.
func (c *converter) numeral(quotes bool) ([]byte, *problem) {
	if c.peek() != '"' {
		return c.number()
	}
	if !quotes {
		return nil, malformed("must be an integer, is a string")
	}
	s, p := c.text(c.scratch[:0])
	c.scratch = s
	return s, p
}

func (c *converter) double() *problem {
	quoted := c.peek() == '"'
	s, p := c.numeral(true)
	if p != nil {
		return p
	}
	v, err := strconv.ParseFloat(string(s), 64)
	if word := string(s); quoted && (word == "NaN" || word == "Infinity" || word == "-Infinity") {
		err = nil // ParseFloat knows these, and more that JSON does not
	} else if err == nil && (math.IsInf(v, 0) || math.IsNaN(v) || strings.ContainsAny(word, "xXpP_")) {
		return malformed("must be a number")
	}
	if err != nil {
		return malformed("must be a number that fits a double")
	}
	c.out = binary.LittleEndian.AppendUint64(c.out, math.Float64bits(v))
	return nil
}

// integer reads an integer of any kind and writes it as that kind.
func (c *converter) integer(k kind) *problem {
	s, p := c.numeral(k != kindInt32)
	if p != nil {
		return p
	}
	v, ok := parseInteger(string(s))
	if !ok {
		return malformed("must be an integer")
	}
	low, high := integerRange(k)
	if v.Cmp(low) < 0 || v.Cmp(high) > 0 {
		return malformed("must be an integer from " + low.String() + " to " + high.String())
	}
	bits := v.Uint64()
	if v.Sign() < 0 {
		bits = uint64(v.Int64())
	}
	switch k {
	case kindFixed64:
		c.out = binary.LittleEndian.AppendUint64(c.out, bits)
	case kindFixed32:
		c.out = binary.LittleEndian.AppendUint32(c.out, uint32(bits))
	default:
		c.out = binary.AppendUvarint(c.out, bits)
	}
	return nil
}

// parseInteger reads an integer, also one written as 1.5e3 or 2.0.
func parseInteger(s string) (*big.Int, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && s[0] != '+' {
		return big.NewInt(n), true
	}
	if len(s) > 40 || strings.ContainsAny(s, "xXpPiInN_+/") {
		return nil, false
	}
	if e := strings.IndexAny(s, "eE"); e >= 0 {
		if exp, err := strconv.Atoi(s[e+1:]); err != nil || exp > 20 || exp < -20 {
			return nil, false
		}
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok || !r.IsInt() {
		return nil, false
	}
	return r.Num(), true
}

func integerRange(k kind) (low, high *big.Int) {
	switch k {
	case kindInt64:
		return big.NewInt(math.MinInt64), big.NewInt(math.MaxInt64)
	case kindFixed64:
		return new(big.Int), new(big.Int).SetUint64(math.MaxUint64)
	case kindInt32:
		return big.NewInt(math.MinInt32), big.NewInt(math.MaxInt32)
	default:
		return new(big.Int), big.NewInt(math.MaxUint32)
	}
}
