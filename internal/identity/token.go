package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// maxToken bounds a token in bytes, before anything is computed from it.
	// Ours have about 400.
	maxToken = 8 << 10
	// tokenCacheSize bounds the user tokens remembered as good (about 300
	// bytes each).
	tokenCacheSize = 16384
)

// KeySource gives the public keys that user tokens are signed with.
type KeySource interface {
	// Key gives the key of this id. It gives fault.Unauthenticated when there
	// is no such key and fault.Unavailable when it cannot know. It is called
	// for every check and must be fast for keys it has. Safe for concurrent
	// use.
	Key(ctx context.Context, id string) (ed25519.PublicKey, error)
}

// TokenVerifier checks user tokens (EdDSA JWTs) without asking anybody, except
// for keys it has not seen. It is safe for concurrent use.
type TokenVerifier struct {
	keys   KeySource
	parser *jwt.Parser
	good   *cache[[sha256.Size]byte, goodToken]

	revocations *Revocations // nil for none
}

// goodToken remembers the key too: a token stops being good when its key is
// withdrawn.
type goodToken struct {
	proof
	keyID string
	key   ed25519.PublicKey
}

// Issuer and audience of the user tokens that auth gives out.
const (
	TokenIssuer   = "driftmesh-auth"
	TokenAudience = "driftmesh"
)

// UserClaims is what a user token says. The subject is the user's name. Other
// claims are ignored.
type UserClaims struct {
	Tenant string `json:"tenant"`
	GrantClaims
	// Session is what the token belongs to, as OpenID Connect calls it.
	Session string `json:"sid,omitempty"`
	// Head is the number of the last revocation that the token knows of.
	Head int64 `json:"head,omitempty"`
	jwt.RegisteredClaims
}

// NewTokenVerifier makes a verifier of the tokens that issuer gives out for
// audience; for auth's these are TokenIssuer and TokenAudience.
func NewTokenVerifier(keys KeySource, audience, issuer string) *TokenVerifier {
	return &TokenVerifier{
		keys: keys,
		// The algorithm is ours to say, never the token's.
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
			jwt.WithAudience(audience), jwt.WithIssuer(issuer), jwt.WithExpirationRequired()),
		good: newCache[[sha256.Size]byte, goodToken](tokenCacheSize),
	}
}

// Heed makes the verifier refuse tokens that were revoked, and all tokens while
// it is not known which were. Call it before the first Verify.
func (v *TokenVerifier) Heed(r *Revocations) *TokenVerifier {
	v.revocations = r
	return v
}

// Verify checks a token, as it stands after "Bearer ". It gives
// fault.Unauthenticated with a reason for a token that is not good, and
// fault.Unavailable when the keys are not known yet and cannot be fetched.
func (v *TokenVerifier) Verify(ctx context.Context, token string) (Identity, error) {
	found, err := v.prove(ctx, token)
	return found.identity, err
}

func (v *TokenVerifier) prove(ctx context.Context, token string) (proof, error) {
	found, err := v.believe(ctx, token)
	if err != nil || v.revocations == nil {
		return found, err
	}
	if _, known := v.revocations.Head(); !known {
		return proof{}, unverifiable(nil)
	}
	if v.revocations.Revoked(found.holder()) {
		return proof{}, refuse(ReasonRevoked, "the token was revoked: its session has ended, or the account was changed")
	}
	return found, nil
}

// believe is prove without regard to what happened since the token was made.
func (v *TokenVerifier) believe(ctx context.Context, token string) (proof, error) {
	if err := checkSize(token); err != nil {
		return proof{}, err
	}
	hash := hashOf(token)
	if good, ok := v.good.get(hash, time.Now()); ok {
		key, err := v.keys.Key(ctx, good.keyID)
		if err == nil && key.Equal(good.key) {
			return good.proof, nil
		}
	}
	good, ends, err := v.parse(ctx, token)
	if err != nil {
		return proof{}, err
	}
	v.good.put(hash, good, ends)
	return good.proof, nil
}

func (v *TokenVerifier) parse(ctx context.Context, token string) (goodToken, time.Time, error) {
	var (
		claims UserClaims
		good   goodToken
	)
	_, err := v.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		if err := checkHeader(t); err != nil {
			return nil, err
		}
		good.keyID, _ = t.Header["kid"].(string)
		if good.keyID == "" || len(good.keyID) > maxKeyID {
			return nil, refuse(ReasonMalformed, "the token does not name its key")
		}
		key, err := v.keys.Key(ctx, good.keyID)
		good.key = key
		return key, err
	})
	if err != nil {
		return goodToken{}, time.Time{}, tokenRefusal(err)
	}
	grant, err := claims.Grant(User)
	good.identity = Identity{Tenant: claims.Tenant, Subject: claims.Subject, Kind: User, Grant: grant}
	if err == nil {
		err = good.identity.check()
	}
	if err != nil {
		return goodToken{}, time.Time{}, refuseFor(err, ReasonMalformed, "the token does not say whose it is")
	}
	good.session, good.head = claims.Session, claims.Head
	return good, claims.ExpiresAt.Time, nil
}

func hashOf(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

func checkSize(token string) error {
	if token == "" {
		return refuse(ReasonMalformed, "the token is empty")
	}
	if len(token) > maxToken {
		return refuse(ReasonMalformed, "the token has %d bytes, want at most %d", len(token), maxToken)
	}
	return nil
}

// checkHeader refuses tokens with extensions that one must understand (RFC
// 7515, section 4.1.11), because we understand none.
func checkHeader(t *jwt.Token) error {
	if _, ok := t.Header["crit"]; ok {
		return refuse(ReasonMalformed, "the token has critical extensions, which are not supported")
	}
	return nil
}

// tokenRefusal turns an error of the token library into one of ours. Its text
// may quote the token, so it is kept as a cause only.
func tokenRefusal(err error) error {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f
	}
	for _, row := range []struct {
		err             error
		reason, message string
	}{
		{jwt.ErrTokenMalformed, ReasonMalformed, "the token is malformed"},
		{jwt.ErrTokenSignatureInvalid, ReasonSignature, "the token's signature is not valid"},
		{jwt.ErrTokenUnverifiable, ReasonSignature, "the token is signed in a way that is not supported"},
		{jwt.ErrTokenInvalidIssuer, ReasonIssuer, "the token was issued by somebody else"},
		{jwt.ErrTokenInvalidAudience, ReasonAudience, "the token was issued for somebody else"},
		{jwt.ErrTokenExpired, ReasonExpired, "the token has expired"},
		{jwt.ErrTokenNotValidYet, ReasonNotYet, "the token is not valid yet"},
	} {
		if errors.Is(err, row.err) {
			return refuseFor(err, row.reason, row.message)
		}
	}
	return refuseFor(err, ReasonMalformed, "the token lacks what it must say")
}
