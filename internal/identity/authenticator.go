package identity

import (
	"context"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
)

// Checks says what an Authenticator accepts. Tokens and Keys may be nil: then
// such credentials are refused. At least one of the three must be given.
type Checks struct {
	// Tokens checks "authorization: Bearer <token>".
	Tokens *TokenVerifier
	// Keys checks "x-api-key: <key>" and "authorization: Bearer <key>".
	Keys *KeyVerifier
	// Anonymous lets callers without any credentials in, as DefaultTenant, in
	// this role; empty lets none in. Wrong credentials are refused all the same.
	Anonymous policy.Role
}

// Authenticator tells who calls at the door. It is safe for concurrent use.
type Authenticator struct{ checks Checks }

// NewAuthenticator makes an authenticator. It gives fault.Invalid when nothing
// could ever be accepted.
func NewAuthenticator(checks Checks) (*Authenticator, error) {
	if checks.Tokens == nil && checks.Keys == nil && checks.Anonymous == "" {
		return nil, fault.Invalid.New("authenticator: nothing is accepted: want tokens, keys or anonymous")
	}
	return &Authenticator{checks}, nil
}

// Authenticate tells who calls from the values of the authorization and
// x-api-key headers, "" for a header that was not sent. It gives
// fault.Unauthenticated with a reason when the credentials are not good, and
// fault.Unavailable when that cannot be found out now.
func (a *Authenticator) Authenticate(ctx context.Context, authorization, apiKey string) (Identity, error) {
	switch {
	case authorization != "" && apiKey != "":
		return Identity{}, refuse(ReasonAmbiguous, "send either authorization or x-api-key, not both")
	case apiKey != "":
		return a.key(ctx, apiKey)
	case authorization == "" && a.checks.Anonymous != "":
		return Identity{Tenant: DefaultTenant, Subject: string(Anonymous), Kind: Anonymous, Grant: policy.As(a.checks.Anonymous)}, nil
	case authorization == "":
		return Identity{}, errMissing()
	}
	token, err := bearerToken(authorization)
	if err != nil {
		return Identity{}, err
	}
	// Many tools can send a bearer token and no other header, so an API key is
	// good there too. A JWT begins with "eyJ": no text is both.
	if strings.HasPrefix(token, KeyPrefix) {
		return a.key(ctx, token)
	}
	if a.checks.Tokens == nil {
		return Identity{}, refuse(ReasonScheme, "tokens are not accepted here")
	}
	return a.checks.Tokens.Verify(ctx, token)
}

func (a *Authenticator) key(ctx context.Context, key string) (Identity, error) {
	if a.checks.Keys == nil {
		return Identity{}, refuse(ReasonScheme, "API keys are not accepted here")
	}
	return a.checks.Keys.Verify(ctx, key)
}
