// Package wire reads protobuf messages field by field without unmarshalling
// them. It is as small as trace-store needs: a Cursor that walks one message,
// and the appenders that write the few fields we rebuild.
package wire

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// Wire types of a field.
const (
	Varint  = 0
	Fixed64 = 1
	Bytes   = 2
	Fixed32 = 5
)

// Cursor walks the fields of one message. Its fields describe the current
// field after Next returned true. The zero Cursor is an empty message; Reset
// starts a new one. A Cursor is not safe for concurrent use.
type Cursor struct {
	// Num and Type are the field's number and wire type.
	Num  int32
	Type uint8
	// U is the value of a varint, fixed32 or fixed64 field.
	U uint64
	// V is the value of a length-delimited field: a view into the message.
	V []byte
	// Raw is the whole field, tag and all: a view into the message.
	Raw []byte

	b   []byte
	bad bool
}

// Of returns a cursor at the start of message b.
func Of(b []byte) Cursor { return Cursor{b: b} }

// Bad reports whether Next stopped because the message is malformed, and not
// because it ended.
func (c *Cursor) Bad() bool { return c.bad }

// Next moves to the next field. It returns false at the end of the message and
// when the message is malformed; Bad tells which.
func (c *Cursor) Next() bool {
	b := c.b
	if len(b) == 0 {
		return false
	}
	tag, n := uvarint(b)
	if n <= 0 || tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		return c.fail()
	}
	c.Num, c.Type = int32(tag>>3), uint8(tag&7)
	c.U, c.V = 0, nil
	var end int
	switch c.Type {
	case Bytes:
		size, m := uvarint(b[n:])
		if m <= 0 || size > uint64(len(b)-n-m) {
			return c.fail()
		}
		end = n + m + int(size)
		c.V = b[n+m : end : end]
	case Varint:
		v, m := uvarint(b[n:])
		if m <= 0 {
			return c.fail()
		}
		c.U, end = v, n+m
	case Fixed64:
		if len(b)-n < 8 {
			return c.fail()
		}
		c.U, end = binary.LittleEndian.Uint64(b[n:]), n+8
	case Fixed32:
		if len(b)-n < 4 {
			return c.fail()
		}
		c.U, end = uint64(binary.LittleEndian.Uint32(b[n:])), n+4
	default:
		m := protowire.ConsumeFieldValue(protowire.Number(c.Num), protowire.Type(c.Type), b[n:])
		if m < 0 {
			return c.fail()
		}
		end = n + m
	}
	c.Raw, c.b = b[:end:end], b[end:]
	return true
}

func (c *Cursor) fail() bool {
	c.bad, c.b = true, nil
	return false
}

// Is reports whether the current field has this number and wire type. A field
// of another wire type than its schema says is an unknown field.
func (c *Cursor) Is(num int32, typ uint8) bool { return c.Num == num && c.Type == typ }

func uvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

// AppendBytes appends a length-delimited field, also an empty one.
func AppendBytes[T ~string | ~[]byte](dst []byte, num int32, v T) []byte {
	dst = protowire.AppendTag(dst, protowire.Number(num), protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(len(v)))
	return append(dst, v...)
}

// AppendString appends a length-delimited field unless it is empty, as proto3
// does.
func AppendString[T ~string | ~[]byte](dst []byte, num int32, v T) []byte {
	if len(v) == 0 {
		return dst
	}
	return AppendBytes(dst, num, v)
}

// AppendVarint appends a varint field unless it is zero.
func AppendVarint(dst []byte, num int32, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, protowire.Number(num), protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

// AppendFixed64 appends a fixed64 field unless it is zero.
func AppendFixed64(dst []byte, num int32, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, protowire.Number(num), protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, v)
}

// AppendFixed32 appends a fixed32 field unless it is zero.
func AppendFixed32(dst []byte, num int32, v uint32) []byte {
	if v == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, protowire.Number(num), protowire.Fixed32Type)
	return protowire.AppendFixed32(dst, v)
}
