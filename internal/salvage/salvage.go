// Package salvage decodes messages of strangers so that what is bad in one hurts
// only itself.
//
// Protobuf refuses a whole message when one text in it is not UTF-8. Unmarshal
// keeps the message instead, puts a mark on each element of a list that is bad,
// and lets the reader refuse just that, with the field's path and the rule
// (Badness). A message that cannot be read at all carries the mark itself.
package salvage

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Unmarshal decodes raw into m as far as it can: each message of a repeated
// field stands for itself, everything else stands or falls with the whole. What
// could not be decoded is empty and marked: see Badness.
func Unmarshal(raw []byte, m proto.Message) {
	if proto.Unmarshal(raw, m) == nil {
		return
	}
	proto.Reset(m)
	fields := m.ProtoReflect().Descriptor().Fields()
	var rest []byte
	for b := raw; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		size := -1
		if n >= 0 {
			size = protowire.ConsumeFieldValue(num, typ, b[n:])
		}
		if size < 0 {
			mark(m, Bad{Rule: RuleMalformed, Message: "the message is truncated or malformed"})
			return
		}
		fd := fields.ByNumber(num)
		if fd != nil && fd.IsList() && fd.Message() != nil && typ == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b[n:])
			element(m.ProtoReflect().Mutable(fd).List(), value)
		} else {
			rest = append(rest, b[:n+size]...)
		}
		b = b[n+size:]
	}
	if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(rest, m); err != nil {
		proto.Reset(m)
		mark(m, diagnose(rest, m.ProtoReflect().Descriptor()))
	}
}

// element appends one message to a list, marked when it is bad.
func element(list protoreflect.List, raw []byte) {
	value := list.NewElement()
	m := value.Message().Interface()
	if err := proto.Unmarshal(raw, m); err != nil {
		proto.Reset(m)
		mark(m, diagnose(raw, m.ProtoReflect().Descriptor()))
	}
	list.Append(value)
}
