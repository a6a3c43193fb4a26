package process

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/rpc"
)

// maxAge of a connection between services: how long a new replica may wait until
// its callers find it.
const maxAge = 2 * time.Minute

// ServiceServer makes the internal gRPC server of a service: it answers other
// services, which call with the mesh secret on behalf of somebody whose
// identity handlers find in their context. Methods named in open are answered
// to calls without a token too.
func (e Env) ServiceServer(listen string, open ...string) (*rpc.Server, error) {
	verifier, err := identity.NewServiceVerifier([]byte(e.Shared.Mesh.Secret.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("setting mesh.secret: %w", err)
	}
	calls, err := e.Calls()
	if err != nil {
		return nil, err
	}
	return rpc.NewServer(rpc.ServerConfig{Listen: listen, MaxRequest: 64 << 20, MaxAge: maxAge}, rpc.ServerDeps{
		Log: e.Log, Calls: calls, Traces: e.Traces,
		Authenticate: func(ctx context.Context, method string) (context.Context, error) {
			authorization, _, err := identity.FromMetadata(ctx)
			if err != nil {
				return nil, err
			}
			if authorization == "" && slices.Contains(open, method) {
				return ctx, nil
			}
			call, err := verifier.VerifyHeader(authorization)
			if err != nil {
				return nil, err
			}
			return identity.With(ctx, call.Identity), nil
		},
	})
}

// Neighbour makes a client of another service's internal gRPC server. Calls
// carry the identity in their context. It does not wait for the service.
func (e Env) Neighbour(service, target string) (*grpc.ClientConn, error) {
	signer, err := identity.NewSigner([]byte(e.Shared.Mesh.Secret.Reveal()), service)
	if err != nil {
		return nil, fmt.Errorf("setting mesh.secret: %w", err)
	}
	calls, err := e.Calls()
	if err != nil {
		return nil, err
	}
	return rpc.Dial(rpc.ClientConfig{Target: target, Credentials: signer.Credentials(), Traces: e.Traces, Calls: calls})
}
