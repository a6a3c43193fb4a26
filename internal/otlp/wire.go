package otlp

import (
	"encoding/binary"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireGroup   = 3
	wireFixed32 = 5
)

// bad is the index that says a read ran into the end or into nonsense.
const bad = -1

const highBits = 0x8080808080808080

// readVarint reads the varint at b[i:] and returns the index after it, or bad.
func readVarint(b []byte, i int) (uint64, int) {
	if i < len(b) && b[i] < 0x80 {
		return uint64(b[i]), i + 1
	}
	if i+1 < len(b) && b[i+1] < 0x80 {
		return uint64(b[i]&0x7f) | uint64(b[i+1])<<7, i + 2
	}
	v, n := protowire.ConsumeVarint(b[i:])
	if n < 0 {
		return 0, bad
	}
	return v, i + n
}

// readTag reads the tag at b[i:]: field number << 3 | wire type.
func readTag(b []byte, i int) (uint64, int) {
	tag, next := readVarint(b, i)
	if next == bad || tag < 8 || tag>>3 > uint64(protowire.MaxValidNumber) {
		return 0, bad
	}
	return tag, next
}

// readBytes reads the length-delimited value at b[i:], b[start:end], or bad.
func readBytes(b []byte, i int) (start, end int) {
	n, start := readVarint(b, i)
	if start == bad || n > uint64(len(b)-start) {
		return bad, bad
	}
	return start, start + int(n)
}

// skip returns the index after the value of tag at b[i:], or bad.
func skip(b []byte, i int, tag uint64) int {
	switch tag & 7 {
	case wireVarint:
		_, next := readVarint(b, i)
		return next
	case wireBytes:
		_, end := readBytes(b, i)
		return end
	case wireFixed64:
		i += 8
	case wireFixed32:
		i += 4
	default: // a group, or what protobuf does not know
		n := protowire.ConsumeFieldValue(protowire.Number(tag>>3), protowire.Type(tag&7), b[i:])
		if n < 0 {
			return bad
		}
		return i + n
	}
	if i > len(b) {
		return bad
	}
	return i
}

// ascii reports whether no byte of b has its high bit set.
func ascii(b []byte) bool {
	var or uint64
	if len(b) < 8 {
		for _, c := range b {
			or |= uint64(c)
		}
		return or&0x80 == 0
	}
	last := b[len(b)-8:]
	for len(b) >= 8 {
		or |= binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	or |= binary.LittleEndian.Uint64(last)
	return or&highBits == 0
}

// text reports whether b is valid UTF-8.
func text(b []byte) bool { return ascii(b) || utf8.Valid(b) }

// frameSize is the size of a length-delimited field with a one-byte tag that
// holds n bytes.
func frameSize(n int) int { return 1 + protowire.SizeVarint(uint64(n)) + n }

// appendFrame appends tag and length of a length-delimited field of n bytes.
func appendFrame(dst []byte, field int, n int) []byte {
	return protowire.AppendVarint(append(dst, byte(field<<3|wireBytes)), uint64(n))
}
