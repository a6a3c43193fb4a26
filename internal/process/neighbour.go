package process

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
)

// maxAge of a connection between services: how long a new replica may wait until
// its callers find it.
const maxAge = 2 * time.Minute

// ServiceServer makes the internal gRPC server of a service: it answers other
// services, which call with the mesh secret on behalf of somebody whose
// identity handlers find in their context, and of which rpc.MayCall says what
// they may call. Where there are certificates, the calling service must show its
// own too. Methods that anybody may call are answered to calls without a token
// too.
func (e Env) ServiceServer(service, listen string) (*rpc.Server, error) {
	secrets, err := e.Secrets()
	if err != nil {
		return nil, err
	}
	mutual, err := e.mutual(service)
	if err != nil {
		return nil, err
	}
	if !Loopback(listen) && mutual == nil && !e.Shared.Mesh.Plaintext {
		return nil, fault.Invalid.New("%s.listen: other services' tokens would come over plain text. Give mesh.tls.cert, mesh.tls.key and mesh.tls.ca "+
			"(driftmesh certs make makes them), listen on 127.0.0.1, or say that this is meant (mesh.plaintext)", service)
	}
	calls, err := e.Calls()
	if err != nil {
		return nil, err
	}
	cfg := rpc.ServerConfig{Listen: listen, MaxRequest: 64 << 20, MaxAge: maxAge}
	if mutual != nil {
		cfg.ServerOptions = append(cfg.ServerOptions, grpc.Creds(mutual.Server()))
	}
	verifier := identity.NewServiceVerifier(secrets, service, Sections)
	return rpc.NewServer(cfg, rpc.ServerDeps{
		Log: e.Log, Calls: calls, Traces: e.Traces,
		Authenticate: func(ctx context.Context, method string) (context.Context, error) {
			authorization, _, err := identity.FromMetadata(ctx)
			if err != nil {
				return nil, err
			}
			caller, err := callerOf(ctx, mutual)
			if err != nil {
				return nil, err
			}
			if authorization == "" && policy.MethodOf(method).Permission == policy.PublicCall {
				return ctx, mayCall(caller, method)
			}
			call, err := verifier.VerifyHeader(authorization)
			if err != nil {
				return nil, err
			}
			if caller != "" && caller != call.Service {
				return nil, fault.Unauthenticated.New("the service token is of %s, the certificate of %s", call.Service, caller).WithReason(reasonPeer)
			}
			return identity.With(ctx, call.Identity), mayCall(call.Service, method)
		},
	})
}

// Reasons why a service is refused.
const (
	reasonPeer   = "SERVICE_CERTIFICATE_REFUSED"
	reasonCaller = "SERVICE_NOT_ALLOWED"
)

// callerOf is the service whose certificate the caller has shown, "" without
// certificates.
func callerOf(ctx context.Context, mutual *tlsfiles.Mutual) (string, error) {
	if mutual == nil {
		return "", nil
	}
	caller, err := mutual.Peer(ctx)
	if err != nil {
		return "", fault.Unauthenticated.New("%s", err).WithReason(reasonPeer)
	}
	return caller, nil
}

// mayCall refuses methods that are not for a service; "" is one that is not known.
func mayCall(service, method string) error {
	if service == "" || rpc.MayCall(service, method) {
		return nil
	}
	return fault.Denied.New("the service %s may not call %s", service, method).WithReason(reasonCaller)
}

// Neighbour makes a client of another service's internal gRPC server, for service.
// Calls carry the identity in their context. It does not wait for the other.
func (e Env) Neighbour(service, callee string) (*grpc.ClientConn, error) {
	secrets, err := e.Secrets()
	if err != nil {
		return nil, err
	}
	signer, err := identity.NewSigner(secrets, service)
	if err != nil {
		return nil, err
	}
	mutual, err := e.mutual(service)
	if err != nil {
		return nil, err
	}
	calls, err := e.Calls()
	if err != nil {
		return nil, err
	}
	cfg := rpc.ClientConfig{Target: e.Shared.Mesh.address(callee), Credentials: signer.Credentials(callee), Traces: e.Traces, Calls: calls}
	if mutual != nil {
		cfg.Transport = mutual.Client(callee)
	}
	return rpc.Dial(cfg)
}

// address is where a service is.
func (m Mesh) address(service string) string {
	return map[string]string{"auth": m.Auth, "drift": m.Drift, "trace-store": m.TraceStore, "ingest-worker": m.IngestWorker}[service]
}

// Secrets are the mesh secret as it is now, for the whole process.
func (e Env) Secrets() (*identity.Secrets, error) {
	if e.home == nil { // made by hand, in a test
		return openSecrets(e)
	}
	e.home.secretsMu.Lock()
	defer e.home.secretsMu.Unlock()
	if e.home.secrets == nil {
		secrets, err := openSecrets(e)
		if err != nil {
			return nil, err
		}
		e.home.secrets = secrets
	}
	return e.home.secrets, nil
}

func openSecrets(e Env) (*identity.Secrets, error) {
	secrets, err := identity.OpenSecrets(e.Shared.Mesh.Secret, e.Log)
	if err != nil {
		return nil, fmt.Errorf("setting mesh.secret: %w", err)
	}
	return secrets, nil
}

// mutual is the certificate of a service, nil when services have none.
func (e Env) mutual(service string) (*tlsfiles.Mutual, error) {
	files := e.Shared.Mesh.TLS.Of(service)
	if !files.On() {
		return nil, nil
	}
	if e.home == nil { // made by hand, in a test
		return tlsfiles.OpenMutual(files, e.Log)
	}
	e.home.mu.Lock()
	defer e.home.mu.Unlock()
	if known := e.home.mutual[service]; known != nil {
		return known, nil
	}
	opened, err := tlsfiles.OpenMutual(files, e.Log)
	if err != nil {
		return nil, fmt.Errorf("settings mesh.tls.cert, mesh.tls.key and mesh.tls.ca: %w", err)
	}
	e.home.mutual[service] = opened
	return opened, opened.Register(e.Stats, "mesh")
}
