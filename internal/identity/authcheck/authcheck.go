// Package authcheck checks the credentials of outsiders with the service auth,
// for every way into the mesh alike: the gateway's door and the topic inbox.
//
// User tokens are checked here, against auth's public keys, which are fetched
// and kept; API keys by asking auth, once a minute at most for each. What auth
// revokes it says at once, and both heed it: within two seconds where auth can be
// heard.
package authcheck

import (
	"context"
	"time"

	"google.golang.org/grpc"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// Checker tells who calls. It is safe for concurrent use.
type Checker struct {
	*identity.Authenticator
	auth        authv1.AuthServiceClient
	self        identity.Identity
	keys        *identity.JWKS
	revocations *identity.Revocations
	keySet      string // that keys has; of watch alone
	health      healthgrpc.HealthClient
}

// New makes a checker that asks auth over conn, which stays the caller's, in
// the name of a service. Those without credentials are let in as tenant default
// in the role anonymous, if that is not empty. It asks nothing yet.
func New(conn grpc.ClientConnInterface, service string, anonymous policy.Role) (*Checker, error) {
	auth := authv1.NewAuthServiceClient(conn)
	keys := identity.NewJWKS(func(ctx context.Context) (string, error) {
		resp, err := auth.ListKeys(ctx, &authv1.ListKeysRequest{})
		return resp.GetJwks(), err
	})
	revocations := identity.NewRevocations()
	authenticator, err := identity.NewAuthenticator(identity.Checks{
		Tokens:      identity.NewTokenVerifier(keys, identity.TokenAudience, identity.TokenIssuer).Heed(revocations),
		Keys:        identity.NewKeyVerifier(checkKey(auth, service)).Heed(revocations),
		Anonymous:   anonymous,
		Revocations: revocations,
	})
	if err != nil {
		return nil, err
	}
	return &Checker{
		Authenticator: authenticator, auth: auth, self: identity.ForService(service, identity.MeshTenant),
		keys: keys, revocations: revocations, health: healthgrpc.NewHealthClient(conn),
	}, nil
}

// Ready tells whether every kind of credentials can be checked: tokens, which
// takes that Run has got the keys and what is revoked once, and API keys, which
// takes that auth answers now. It gives fault.Unavailable when not.
func (c *Checker) Ready(ctx context.Context) error {
	if err := c.keys.Ready(ctx); err != nil {
		return err
	}
	if _, known := c.revocations.Head(); !known {
		return fault.Unavailable.New("what auth has revoked is not known yet").WithReason(identity.ReasonNotVerifiable)
	}
	_, err := c.health.Check(ctx, &healthgrpc.HealthCheckRequest{})
	return err
}

// checkKey asks auth whose an API key is.
func checkKey(auth authv1.AuthServiceClient, service string) identity.KeyCheck {
	self := identity.ForService(service, identity.MeshTenant)
	return func(ctx context.Context, key string) (identity.Identity, time.Time, error) {
		resp, err := auth.CheckAPIKey(identity.With(ctx, self), &authv1.CheckAPIKeyRequest{Key: key})
		if err != nil {
			return identity.Identity{}, time.Time{}, err
		}
		var ends time.Time
		if resp.GetExpireTime() != nil {
			ends = resp.GetExpireTime().AsTime()
		}
		grant, err := identity.GrantClaims{
			Admin: resp.GetAdmin(), Role: resp.GetRole(), Permissions: resp.GetPermissions(), Spaces: resp.GetSpaces(),
		}.Grant(identity.Key)
		return identity.Identity{Tenant: resp.GetTenant(), Subject: resp.GetKeyId(), Kind: identity.Key, Grant: grant}, ends, err
	}
}
