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
	// meshAudience begins the audience of service tokens, which names the callee,
	// and of nothing else.
	meshAudience = "driftmesh-mesh/"
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
	keys    *Keys
	service string
	tokens  *cache[tokenFor, signedToken]
}

// tokenFor is what a token is made for.
type tokenFor struct {
	identity Identity
	callee   string
}

// signedToken is a token and the key that it was signed with: when another one
// signs, another token is made.
type signedToken struct {
	text string
	key  *byte
}

// NewSigner makes the signer of a service from the mesh secret. It gives
// fault.Invalid when the service has no name.
func NewSigner(secrets *Secrets, service string) (*Signer, error) {
	if service == "" {
		return nil, fault.Invalid.New("signer: the service has no name")
	}
	return &Signer{keys: secrets.Keys(servicePurpose), service: service, tokens: newCache[tokenFor, signedToken](signerCacheSize)}, nil
}

// Self is the identity of the service itself, for calls that it makes on
// nobody's behalf.
func (s *Signer) Self() Identity { return ForService(s.service, MeshTenant) }

// Token gives a token that says: this service calls callee on behalf of id. It is
// good for at least half of five minutes more, and nowhere else. It gives fault.Invalid for an
// identity without tenant, subject or kind.
func (s *Signer) Token(id Identity, callee string) (string, error) {
	now, key := time.Now(), s.keys.All()[0]
	if token, ok := s.tokens.get(tokenFor{id, callee}, now); ok && token.key == &key[0] {
		return token.text, nil
	}
	if err := id.check(); err != nil {
		return "", err
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, &serviceClaims{
		Tenant: id.Tenant, Kind: id.Kind, GrantClaims: ClaimsOf(id.Grant),
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    s.service,
			Subject:   id.Subject,
			Audience:  jwt.ClaimStrings{meshAudience + callee},
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(serviceTokenLife)),
		},
	}).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign service token: %w", err)
	}
	s.tokens.put(tokenFor{id, callee}, signedToken{token, &key[0]}, now.Add(serviceTokenLife/2))
	return token, nil
}

// Credentials attaches to every gRPC call of callee a service token for the
// identity in the call's context. A call without an identity goes out without a token, and
// so reaches only methods that are open to everybody.
func (s *Signer) Credentials(callee string) credentials.PerRPCCredentials {
	return serviceCredentials{s, callee}
}

type serviceCredentials struct {
	signer *Signer
	callee string
}

// GetRequestMetadata gives the authorization header for the identity in ctx.
func (c serviceCredentials) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	id, ok := From(ctx)
	if !ok {
		return nil, nil
	}
	token, err := c.signer.Token(id, c.callee)
	if err != nil {
		return nil, err
	}
	return map[string]string{headerAuthorization: bearer + token}, nil
}

// RequireTransportSecurity is false: services talk over loopback or inside a
// network of their own, and TLS is added by the connection, not by the token.
func (c serviceCredentials) RequireTransportSecurity() bool { return false }
