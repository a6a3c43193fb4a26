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
// package salvage.
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
	salvage.Unmarshal(data.Materialize(), m)
	return nil
}
