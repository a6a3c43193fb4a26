package table

import (
	"encoding/binary"
	"errors"
)

// flat is a table of a FlatBuffers message, which is how Arrow writes what it
// says of its data: an offset to a list of offsets to fields, each of which may
// be left out. Nothing in it is trusted: reading beyond the message gives zero
// values, and marks the message as damaged.
type flat struct {
	message *flatMessage
	at      int
}

// flatMessage is the bytes of a message.
type flatMessage struct {
	bytes   []byte
	damaged bool
}

var errFlat = errors.New("the message points outside itself")

// root is the outermost table of a message.
func root(bytes []byte) flat {
	m := &flatMessage{bytes: bytes}
	return flat{m, int(m.u32(0))}
}

func (m *flatMessage) within(at, size int) bool {
	if at >= 0 && size >= 0 && at <= len(m.bytes)-size {
		return true
	}
	m.damaged = true
	return false
}

func (m *flatMessage) u16(at int) uint16 {
	if !m.within(at, 2) {
		return 0
	}
	return binary.LittleEndian.Uint16(m.bytes[at:])
}

func (m *flatMessage) u32(at int) uint32 {
	if !m.within(at, 4) {
		return 0
	}
	return binary.LittleEndian.Uint32(m.bytes[at:])
}

func (m *flatMessage) i64(at int) int64 {
	if !m.within(at, 8) {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(m.bytes[at:])) //nolint:gosec // its bits
}

// field is where the n-th field stands; 0 when it is left out.
func (f flat) field(n int) int {
	if f.message == nil {
		return 0
	}
	fields := f.at - int(int32(f.message.u32(f.at))) //nolint:gosec // the offset is signed
	if at := 4 + 2*n; at+2 <= int(f.message.u16(fields)) {
		if offset := f.message.u16(fields + at); offset != 0 {
			return f.at + int(offset)
		}
	}
	return 0
}

func (f flat) byte(n int) byte {
	at := f.field(n)
	if at == 0 || !f.message.within(at, 1) {
		return 0
	}
	return f.message.bytes[at]
}

func (f flat) bool(n int) bool { return f.byte(n) != 0 }

func (f flat) int16(n int, absent int16) int16 {
	if at := f.field(n); at != 0 {
		return int16(f.message.u16(at)) //nolint:gosec // its bits
	}
	return absent
}

func (f flat) int32(n int, absent int32) int32 {
	if at := f.field(n); at != 0 {
		return int32(f.message.u32(at)) //nolint:gosec // its bits
	}
	return absent
}

func (f flat) int64(n int) int64 {
	if at := f.field(n); at != 0 {
		return f.message.i64(at)
	}
	return 0
}

// table is the n-th field as a table; one without fields where it is left out.
func (f flat) table(n int) (t flat, there bool) {
	at := f.field(n)
	if at == 0 {
		return flat{}, false
	}
	return flat{f.message, at + int(f.message.u32(at))}, true
}

// list is the n-th field as a list: where it begins and how many elements of so
// many bytes it has.
func (f flat) list(n, size int) (at, length int) {
	field := f.field(n)
	if field == 0 {
		return 0, 0
	}
	at = field + int(f.message.u32(field))
	length = int(f.message.u32(at))
	if !f.message.within(at+4, length) || !f.message.within(at+4, length*size) { // the first, lest the product overflow
		return 0, 0
	}
	return at + 4, length
}

func (f flat) text(n int) string {
	at, length := f.list(n, 1)
	if f.message == nil {
		return ""
	}
	return string(f.message.bytes[at : at+length])
}

// tables is the n-th field as a list of tables.
func (f flat) tables(n int) []flat {
	at, length := f.list(n, 4)
	all := make([]flat, length)
	for i := range all {
		all[i] = flat{f.message, at + 4*i + int(f.message.u32(at+4*i))}
	}
	return all
}
