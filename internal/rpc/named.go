package rpc

import (
	"context"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/requestid"
)

// Named gives a call that came to a gRPC server its name: the one in its metadata,
// or a new one, which the caller is told in the trailer: an answer with a header would
// be a frame more.
func Named(ctx context.Context) context.Context {
	sent := ""
	if values := metadata.ValueFromIncomingContext(ctx, requestid.Header); len(values) == 1 {
		sent = values[0]
	}
	id := requestid.Of(sent)
	_ = grpc.SetTrailer(ctx, metadata.Pairs(requestid.Header, id)) // fails where nobody is to be answered
	return requestid.With(ctx, id)
}

// WithRequest says in an error's details which request it is of, unless they say
// so already.
func WithRequest(st *status.Status, id string) *status.Status {
	if st.Code() == codes.OK || id == "" {
		return st
	}
	for _, detail := range st.Details() {
		if _, said := detail.(*errdetails.RequestInfo); said {
			return st
		}
	}
	if named, err := st.WithDetails(&errdetails.RequestInfo{RequestId: id}); err == nil {
		return named
	}
	return st
}

// nameOnward lets calls that a request makes have its name.
func nameOnward(ctx context.Context) context.Context {
	if id := requestid.From(ctx); id != "" {
		return metadata.AppendToOutgoingContext(ctx, requestid.Header, id)
	}
	return ctx
}

// NameOnward is for a client connection that Dial has not made.
func NameOnward() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(nameOnward(ctx), method, req, reply, cc, opts...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return open(nameOnward(ctx), desc, cc, method, opts...)
		}),
	}
}
