package wire

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/salvage"
)

func refuse(v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return nil
	}
	bad, is := salvage.Badness(m)
	if !is {
		return nil
	}
	return bad.Fault()
}

// Unary refuses requests that could not be decoded.
func Unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := refuse(req); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// Stream refuses messages that could not be decoded.
func Stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(srv, checked{ss})
}

type checked struct{ grpc.ServerStream }

func (s checked) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return refuse(m)
}
