package value

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/wire"
)

var errText = fault.Internal.New("stored attribute does not match its type")

// AppendKeyValue appends to dst a KeyValue message (without tag and length)
// of a stored attribute. The error is fault.Internal when the text is not one
// that Encode makes for the letter.
func AppendKeyValue(dst []byte, key string, letter byte, text string) ([]byte, error) {
	dst = wire.AppendString(dst, kvKey, key)
	if letter == Absent {
		return dst, nil
	}
	v, err := appendAny(nil, letter, text)
	if err != nil {
		return dst, err
	}
	return wire.AppendBytes(dst, kvValue, v), nil
}

func appendAny(dst []byte, letter byte, text string) ([]byte, error) {
	switch letter {
	case String:
		return wire.AppendBytes(dst, anyString, text), nil
	case Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return dst, errText
		}
		return appendInt(dst, n), nil
	case Double:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return dst, errText
		}
		return appendFloat(dst, f), nil
	case Bool:
		return appendBool(dst, text == "true"), nil
	case Empty:
		return dst, nil
	case Bytes:
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return dst, errText
		}
		return wire.AppendBytes(dst, anyBytes, raw), nil
	case Raw:
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return dst, errText
		}
		return append(dst, raw...), nil
	case Array, KVList:
		p := parser{s: text}
		dst = p.any(dst)
		if p.bad || p.i != len(text) {
			return dst, errText
		}
		return dst, nil
	}
	return dst, errText
}

func appendInt(dst []byte, n int64) []byte {
	dst = protowire.AppendTag(dst, anyInt, protowire.VarintType)
	return protowire.AppendVarint(dst, uint64(n))
}

func appendBool(dst []byte, b bool) []byte {
	dst = protowire.AppendTag(dst, anyBool, protowire.VarintType)
	return protowire.AppendVarint(dst, protowire.EncodeBool(b))
}

func appendFloat(dst []byte, f float64) []byte {
	dst = protowire.AppendTag(dst, anyDouble, protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, math.Float64bits(f))
}

// parser reads the JSON that appendJSON writes, and nothing else: no blanks,
// no escapes but its own. It keeps order, duplicate keys and number types,
// which encoding/json would lose.
type parser struct {
	s     string
	i     int
	depth int
	bad   bool
}

func (p *parser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *parser) fail(dst []byte) []byte {
	p.bad, p.i = true, len(p.s)
	return dst
}

func (p *parser) word(w string) bool {
	if len(p.s)-p.i >= len(w) && p.s[p.i:p.i+len(w)] == w {
		p.i += len(w)
		return true
	}
	return false
}

// any appends the AnyValue that stands at the parser's place.
func (p *parser) any(dst []byte) []byte {
	if p.depth++; p.depth > MaxDepth+2 {
		return p.fail(dst)
	}
	defer func() { p.depth-- }()
	switch b := p.peek(); {
	case b == '"':
		return wire.AppendBytes(dst, anyString, p.str())
	case b == '[':
		return wire.AppendBytes(dst, anyArray, p.list(']', p.any))
	case b == '{':
		return wire.AppendBytes(dst, anyKVList, p.list('}', p.member))
	case p.word("true"):
		return appendBool(dst, true)
	case p.word("false"):
		return appendBool(dst, false)
	case p.word("null"):
		return dst
	}
	return p.number(dst)
}

// list reads items between two brackets, each a field 1 of the result.
func (p *parser) list(end byte, item func([]byte) []byte) []byte {
	var out []byte
	p.i++ // the opening bracket, which the caller has seen
	if p.peek() == end {
		p.i++
		return out
	}
	for !p.bad {
		out = wire.AppendBytes(out, listValues, item(nil))
		switch p.peek() {
		case ',':
			p.i++
		case end:
			p.i++
			return out
		default:
			return p.fail(out)
		}
	}
	return out
}

func (p *parser) member(dst []byte) []byte {
	if p.peek() != '"' {
		return p.fail(dst)
	}
	dst = wire.AppendString(dst, kvKey, p.str())
	if p.peek() != ':' {
		return p.fail(dst)
	}
	p.i++
	return wire.AppendBytes(dst, kvValue, p.any(nil))
}

func (p *parser) number(dst []byte) []byte {
	start, double := p.i, false
	for ; p.i < len(p.s); p.i++ {
		b := p.s[p.i]
		if b == '.' || b == 'e' {
			double = true
		} else if (b < '0' || b > '9') && b != '-' && b != '+' {
			break
		}
	}
	text := p.s[start:p.i]
	if double {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return p.fail(dst)
		}
		return appendFloat(dst, f)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return p.fail(dst)
	}
	return appendInt(dst, n)
}

func (p *parser) str() []byte {
	var out []byte
	for p.i++; p.i < len(p.s); p.i++ {
		b := p.s[p.i]
		switch {
		case b == '"':
			p.i++
			return out
		case b != '\\':
			out = append(out, b)
		default:
			p.i++
			switch p.peek() {
			case '"', '\\':
				out = append(out, p.peek())
			case 'n':
				out = append(out, '\n')
			case 'u':
				if p.i+5 > len(p.s) {
					return p.fail(out)
				}
				r, err := strconv.ParseUint(p.s[p.i+1:p.i+5], 16, 16)
				if err != nil {
					return p.fail(out)
				}
				out = utf8.AppendRune(out, rune(r))
				p.i += 4
			default:
				return p.fail(out)
			}
		}
	}
	return p.fail(out)
}
