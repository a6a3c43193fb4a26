package wire

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/salvage"
)

// Guard refuses messages that could not be decoded.
type Guard struct {
	// Refused is told of each, with how many bytes it had. Optional.
	Refused func(ctx context.Context, method string, bytes int)
}

func (g Guard) refuse(ctx context.Context, method string, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return nil
	}
	bad, is := salvage.Badness(m)
	if !is {
		return nil
	}
	if g.Refused != nil {
		g.Refused(ctx, method, sizeOf(m))
	}
	return bad.Fault()
}

// Unary refuses requests that could not be decoded.
func (g Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := g.refuse(ctx, info.FullMethod, req); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// Stream refuses messages that could not be decoded.
func (g Guard) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(srv, checked{ss, g, info.FullMethod})
}

type checked struct {
	grpc.ServerStream
	guard  Guard
	method string
}

func (s checked) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.guard.refuse(s.Context(), s.method, m)
}

// sizeField holds how many bytes a message had of which nothing is left. Who sends it
// makes its own message count for more.
const sizeField = protowire.MaxValidNumber - 1

// noteSize notes how many bytes a message had that could not be decoded.
func noteSize(m proto.Message, bytes int) {
	if _, is := salvage.Badness(m); is {
		raw := m.ProtoReflect().GetUnknown()
		m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(raw, sizeField, protowire.VarintType), uint64(bytes))) //nolint:gosec // a length
	}
}

// sizeOf is how many bytes a message had.
func sizeOf(m proto.Message) int {
	size := proto.Size(m)
	for raw := m.ProtoReflect().GetUnknown(); len(raw) > 0; {
		num, typ, n := protowire.ConsumeField(raw)
		if n < 0 {
			break
		}
		if num == sizeField && typ == protowire.VarintType {
			_, _, tag := protowire.ConsumeTag(raw)
			noted, _ := protowire.ConsumeVarint(raw[tag:])
			size = max(size, int(min(noted, 1<<31))) //nolint:gosec // bounded
		}
		raw = raw[n:]
	}
	return size
}
