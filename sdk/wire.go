package sdk

import (
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// How protobuf writes the value of a field: the low bits of its tag.
const (
	varint = 0
	fix64  = 1
	length = 2
	fix32  = 5
)

// appendText writes a string that stands there only when it is not empty.
func appendText(b []byte, tag byte, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(b, tag, s)
}

// appendString writes a string, mended where it is not UTF-8: protobuf's readers
// refuse the whole request for one that is not.
func appendString(b []byte, tag byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	b = append(b, tag)
	if len(s) < 1<<7 {
		b = append(b, byte(len(s)))
	} else {
		b = protowire.AppendVarint(b, uint64(len(s)))
	}
	return append(b, s...)
}

// open begins a message of unknown length, for which one byte is left free.
func open(b []byte, tag byte) (opened []byte, at int) {
	return append(b, tag, 0), len(b) + 2
}

// shut ends the message that began at at, and makes room where its length takes
// more than a byte.
func shut(b []byte, at int) []byte {
	n := len(b) - at
	if n < 1<<7 {
		b[at-1] = byte(n)
		return b
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	b = slices.Grow(b, more)[:len(b)+more]
	copy(b[at+more:], b[at:at+n])
	protowire.AppendVarint(b[:at-1], uint64(n))
	return b
}
