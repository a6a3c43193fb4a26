package wire

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Frame is one message as it stands on the wire.
type Frame struct{ Bytes []byte }

// Codec is the codec "proto" for Frames and for messages. It has no state and
// is safe for concurrent use.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is what the content type says.
func (Codec) Name() string { return grpcproto.Name }

// Marshal writes a Frame as it is and anything else as protobuf.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*Frame); ok {
		return mem.BufferSlice{mem.SliceBuffer(f.Bytes)}, nil
	}
	return encoding.GetCodecV2(grpcproto.Name).Marshal(v)
}

// Unmarshal reads into a Frame or a message. For a message it never fails: see
// Badness.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*Frame); ok {
		f.Bytes = data.Materialize()
		return nil
	}
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("decode: %T is no message", v)
	}
	if err := encoding.GetCodecV2(grpcproto.Name).Unmarshal(data, v); err == nil {
		return nil
	}
	salvage(data.Materialize(), m)
	return nil
}

// salvage decodes what can be decoded: each message of a repeated field stands
// for itself, everything else stands or falls with the whole.
func salvage(raw []byte, m proto.Message) {
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
