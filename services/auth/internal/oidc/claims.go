package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// maxToken bounds a token in bytes, before anything is computed from it. Some
	// have the names of hundreds of groups.
	maxToken = 64 << 10
	// maxSubject is that of OpenID Connect Core, section 2.
	maxSubject = 255
	// leeway is how much clocks may differ.
	leeway = time.Minute
)

// Claims are what a provider says of somebody, verified.
type Claims struct {
	Issuer, Subject string
	Ends            time.Time // of the token
	All             map[string]any
}

// check is what a token must be, besides signed and in its time.
type check struct {
	audiences []string // one of which it must be for
	party     string   // to whom it must have been given; empty for anybody
	nonce     string   // empty for any
}

// said are the claims that are checked here and not in the library, which is lenient.
type said struct {
	Party     *string         `json:"azp"`
	IssuedAt  json.RawMessage `json:"iat"`
	NotBefore *float64        `json:"nbf"`
	Events    json.RawMessage `json:"events"`
}

// capture keeps the fault of a key set, of which the library keeps the text alone.
type capture struct {
	*keySet
	err error
}

// VerifySignature implements oidc.KeySet.
func (c *capture) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := c.verify(ctx, token)
	c.err = err
	return payload, err
}

// verify gives what a token says when it is what it must be.
func (p *Provider) verify(ctx context.Context, token string, want check) (Claims, *oidc.IDToken, error) {
	if len(token) > maxToken {
		return Claims{}, nil, refuse(nil, "TOKEN_MALFORMED", "the token is too long")
	}
	if err := checkType(token); err != nil {
		return Claims{}, nil, err
	}
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = string(a)
	}
	keys := &capture{keySet: p.keys}
	id, err := oidc.NewVerifier(p.Issuer, keys, &oidc.Config{
		SupportedSigningAlgs: names, SkipClientIDCheck: true, SkipIssuerCheck: true, // both below, with reasons
	}).Verify(ctx, token)
	switch _, expired := errors.AsType[*oidc.TokenExpiredError](err); {
	case keys.err != nil:
		return Claims{}, nil, keys.err
	case expired:
		return Claims{}, nil, refuse(err, "TOKEN_EXPIRED", "the token has expired")
	case err != nil:
		return Claims{}, nil, refuse(err, "TOKEN_MALFORMED", "the token is malformed, or signed in a way that is not supported")
	}
	if err := p.judge(id, want); err != nil {
		return Claims{}, nil, err
	}
	claims := Claims{Issuer: id.Issuer, Subject: id.Subject, Ends: id.Expiry, All: map[string]any{}}
	if err := id.Claims(&claims.All); err != nil {
		return Claims{}, nil, refuse(err, "TOKEN_MALFORMED", "the token is malformed")
	}
	return claims, id, nil
}

// judge checks a token whose signature is good.
func (p *Provider) judge(id *oidc.IDToken, want check) error {
	var more said
	if err := id.Claims(&more); err != nil {
		return refuse(err, "TOKEN_MALFORMED", "the token says something in a way that is not supported")
	}
	now := time.Now()
	switch {
	case id.Issuer != p.Issuer:
		return refuse(nil, "TOKEN_ISSUER_INVALID", "the token was issued by somebody else")
	case !slices.ContainsFunc(id.Audience, func(a string) bool { return slices.Contains(want.audiences, a) }):
		return refuse(nil, "TOKEN_AUDIENCE_INVALID", "the token was issued for somebody else")
	case want.party != "" && (more.Party != nil && *more.Party != want.party || more.Party == nil && len(id.Audience) > 1):
		return refuse(nil, "TOKEN_PARTY_INVALID", "the token was given to somebody else")
	case want.nonce != "" && id.Nonce != want.nonce:
		return refuse(nil, "TOKEN_NONCE_INVALID", "the token belongs to another login")
	case more.IssuedAt == nil || now.Add(leeway).Before(id.IssuedAt),
		more.NotBefore != nil && float64(now.Add(leeway).Unix()) < *more.NotBefore:
		return refuse(nil, "TOKEN_NOT_YET_VALID", "the token is not valid yet")
	case id.Subject == "" || len(id.Subject) > maxSubject:
		return refuse(nil, "TOKEN_SUBJECT_INVALID", "the token does not say whose it is")
	case more.Events != nil: // a logout or another event, signed with the same keys
		return refuse(nil, "TOKEN_TYPE_INVALID", "the token is of a kind that lets nobody in")
	}
	return nil
}

// types are those of tokens that say who somebody is; others that a provider signs
// with the same keys are for something else.
var types = []string{"", "jwt", "at+jwt", "application/at+jwt"}

func checkType(token string) error {
	head, _, ok := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	var h struct {
		Type string `json:"typ"`
	}
	if !ok || err != nil || json.Unmarshal(raw, &h) != nil {
		return refuse(nil, "TOKEN_MALFORMED", "the token is malformed")
	}
	if !slices.Contains(types, strings.ToLower(h.Type)) {
		return refuse(nil, "TOKEN_TYPE_INVALID", "the token is of a kind that lets nobody in")
	}
	return nil
}

// issuerOf is whom a token, which is not verified, says that it is from.
func issuerOf(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > maxToken {
		return "", fault.Unauthenticated.New("the token is malformed").WithReason("TOKEN_MALFORMED")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct {
		Issuer string `json:"iss"`
	}
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return "", fault.Unauthenticated.New("the token is malformed").WithReason("TOKEN_MALFORMED")
	}
	return c.Issuer, nil
}
