package wire

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/salvage"
)

// Frame is one message as it stands on the wire.
type Frame struct{ Bytes []byte }

// Reader is a message that takes what is on the wire as it is.
type Reader interface{ ReadWire(mem.BufferSlice) }

// Writer is a message that gives what goes on the wire.
type Writer interface{ Wire() mem.BufferSlice }

// Codec is the codec "proto" for Frames, Readers and Writers, and for messages. It has no state and
// is safe for concurrent use.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is what the content type says.
func (Codec) Name() string { return grpcproto.Name }

// Marshal writes a Frame and a Writer as they are and anything else as protobuf.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	switch w := v.(type) {
	case *Frame:
		return mem.BufferSlice{mem.SliceBuffer(w.Bytes)}, nil
	case Writer:
		return w.Wire(), nil
	}
	return encoding.GetCodecV2(grpcproto.Name).Marshal(v)
}

// Unmarshal reads into a Frame, a Reader or a message. For a message it never
// fails: see package salvage.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch r := v.(type) {
	case *Frame:
		r.Bytes = data.Materialize()
		return nil
	case Reader:
		r.ReadWire(data)
		return nil
	}
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("decode: %T is no message", v)
	}
	if err := encoding.GetCodecV2(grpcproto.Name).Unmarshal(data, v); err == nil {
		return nil
	}
	salvage.Unmarshal(data.Materialize(), m)
	noteSize(m, data.Len())
	return nil
}
