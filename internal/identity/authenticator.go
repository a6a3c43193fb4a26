package identity

import (
	"context"
	"strings"
	"time"

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
	// Revocations are what Tokens and Keys heed too, for calls that take long; nil
	// for none.
	Revocations *Revocations
}

// proof is who calls, and what that rests on.
type proof struct {
	identity Identity
	session  string    // of a token
	head     int64     // see Holder
	ends     time.Time // of an API key, zero for never
}

func (p proof) holder() Holder {
	return Holder{Tenant: p.identity.Tenant, Subject: p.identity.Subject, Kind: p.identity.Kind, Session: p.session, Head: p.head}
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
	found, err := a.prove(ctx, authorization, apiKey)
	return found.identity, err
}

func (a *Authenticator) prove(ctx context.Context, authorization, apiKey string) (proof, error) {
	switch {
	case authorization != "" && apiKey != "":
		return proof{}, refuse(ReasonAmbiguous, "send either authorization or x-api-key, not both")
	case apiKey != "":
		return a.key(ctx, apiKey)
	case authorization == "" && a.checks.Anonymous != "":
		return proof{identity: Identity{Tenant: DefaultTenant, Subject: string(Anonymous), Kind: Anonymous, Grant: policy.As(a.checks.Anonymous)}}, nil
	case authorization == "":
		return proof{}, errMissing()
	}
	token, err := bearerToken(authorization)
	if err != nil {
		return proof{}, err
	}
	// Many tools can send a bearer token and no other header, so an API key is
	// good there too. A JWT begins with "eyJ": no text is both.
	if strings.HasPrefix(token, KeyPrefix) {
		return a.key(ctx, token)
	}
	if a.checks.Tokens == nil {
		return proof{}, refuse(ReasonScheme, "tokens are not accepted here")
	}
	return a.checks.Tokens.prove(ctx, token)
}

func (a *Authenticator) key(ctx context.Context, key string) (proof, error) {
	if a.checks.Keys == nil {
		return proof{}, refuse(ReasonScheme, "API keys are not accepted here")
	}
	return a.checks.Keys.prove(ctx, key)
}
