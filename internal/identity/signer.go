package identity

import (
	"context"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/credentials"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// meshAudience is the audience of service tokens and of nothing else.
	meshAudience = "driftmesh-mesh"
	// servicePurpose separates the key of service tokens from other uses of
	// the mesh secret.
	servicePurpose = "service token v1"
	// serviceTokenLife bounds how long a stolen service token is of use. Tokens
	// are renewed at half their life, so the clocks of two services may differ
	// by the other half.
	serviceTokenLife = 5 * time.Minute
	// signerCacheSize bounds the tokens kept; one is needed per identity that
	// called in the last minutes.
	signerCacheSize = 4096
)

// serviceClaims is what a service token says.
type serviceClaims struct {
	Tenant string `json:"tenant"`
	Kind   Kind   `json:"kind"`
	GrantClaims
	jwt.RegisteredClaims
}

func (c *serviceClaims) identity() (Identity, error) {
	grant, err := c.Grant(c.Kind)
	return Identity{Tenant: c.Tenant, Subject: c.Subject, Kind: c.Kind, Grant: grant}, err
}

// Signer makes the tokens with which one service calls another on somebody's
// behalf. It is safe for concurrent use.
type Signer struct {
	key     []byte
	service string
	tokens  *cache[Identity, string]
}

// NewSigner makes the signer of a service from the mesh secret. It gives
// fault.Invalid when the secret is shorter than MinSecret or the service has no
// name. It keeps no reference to secret.
func NewSigner(secret []byte, service string) (*Signer, error) {
	key, err := DeriveKey(secret, servicePurpose)
	if err != nil {
		return nil, err
	}
	if service == "" {
		return nil, fault.Invalid.New("signer: the service has no name")
	}
	return &Signer{key: key, service: service, tokens: newCache[Identity, string](signerCacheSize)}, nil
}

// Self is the identity of the service itself, for calls that it makes on
// nobody's behalf.
func (s *Signer) Self() Identity { return ForService(s.service, MeshTenant) }

// Token gives a token that says: this service calls on behalf of id. It is good
// for at least half of five minutes more. It gives fault.Invalid for an
// identity without tenant, subject or kind.
func (s *Signer) Token(id Identity) (string, error) {
	now := time.Now()
	if token, ok := s.tokens.get(id, now); ok {
		return token, nil
	}
	if err := id.check(); err != nil {
		return "", err
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, &serviceClaims{
		Tenant: id.Tenant, Kind: id.Kind, GrantClaims: ClaimsOf(id.Grant),
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    s.service,
			Subject:   id.Subject,
			Audience:  jwt.ClaimStrings{meshAudience},
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(serviceTokenLife)),
		},
	}).SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign service token: %w", err)
	}
	s.tokens.put(id, token, now.Add(serviceTokenLife/2))
	return token, nil
}

// Credentials attaches to every gRPC call a service token for the identity in
// the call's context. A call without an identity goes out without a token, and
// so reaches only methods that are open to everybody.
func (s *Signer) Credentials() credentials.PerRPCCredentials { return serviceCredentials{s} }

type serviceCredentials struct{ signer *Signer }

// GetRequestMetadata gives the authorization header for the identity in ctx.
func (c serviceCredentials) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	id, ok := From(ctx)
	if !ok {
		return nil, nil
	}
	token, err := c.signer.Token(id)
	if err != nil {
		return nil, err
	}
	return map[string]string{headerAuthorization: bearer + token}, nil
}

// RequireTransportSecurity is false: services talk over loopback or inside a
// network of their own, and TLS is added by the connection, not by the token.
func (c serviceCredentials) RequireTransportSecurity() bool { return false }
