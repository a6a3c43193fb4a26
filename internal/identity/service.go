package identity

import (
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// serviceCacheSize bounds the service tokens remembered as good.
const serviceCacheSize = 4096

// ServiceVerifier checks the tokens that a Signer makes. It is safe for
// concurrent use.
type ServiceVerifier struct {
	keys    *Keys
	parser  *jwt.Parser
	issuers []string
	good    *cache[[sha256.Size]byte, goodCall]
}

// goodCall remembers the key too: a token stops being good when its secret is
// taken off the list.
type goodCall struct {
	ServiceCall
	key *byte
}

// ServiceCall is what a good service token says: Service calls on behalf of
// Identity.
type ServiceCall struct {
	Identity Identity
	Service  string
}

// NewServiceVerifier makes the verifier of tokens for callee from the mesh secret.
// Those of issuers are believed and nobody else's.
func NewServiceVerifier(secrets *Secrets, callee string, issuers []string) *ServiceVerifier {
	return &ServiceVerifier{
		keys: secrets.Keys(servicePurpose), issuers: issuers,
		// The algorithm is ours to say, never the token's.
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithAudience(meshAudience+callee), jwt.WithExpirationRequired()),
		good: newCache[[sha256.Size]byte, goodCall](serviceCacheSize),
	}
}

// Verify checks a service token, as it stands after "Bearer ". Every error is
// fault.Unauthenticated with a reason.
func (v *ServiceVerifier) Verify(token string) (ServiceCall, error) {
	if err := checkSize(token); err != nil {
		return ServiceCall{}, err
	}
	now, hash, keys := time.Now(), hashOf(token), v.keys.All()
	if call, ok := v.good.get(hash, now); ok && slices.ContainsFunc(keys, func(k []byte) bool { return &k[0] == call.key }) {
		return call.ServiceCall, nil
	}
	claims, key, err := v.parse(token, keys)
	if err != nil {
		return ServiceCall{}, tokenRefusal(err)
	}
	if err := v.checkLife(claims); err != nil {
		return ServiceCall{}, err
	}
	id, err := claims.identity()
	if err == nil {
		err = id.check()
	}
	call := ServiceCall{Identity: id, Service: claims.Issuer}
	if err != nil || call.Service == "" {
		return ServiceCall{}, refuseFor(err, ReasonMalformed, "the service token does not say who calls")
	}
	v.good.put(hash, goodCall{call, key}, claims.ExpiresAt.Time)
	return call, nil
}

// parse checks a token with each key, the one in use first.
func (v *ServiceVerifier) parse(token string, keys [][]byte) (claims *serviceClaims, key *byte, err error) {
	for _, k := range keys {
		claims = &serviceClaims{}
		// HMAC tags are compared in constant time by the library (hmac.Equal).
		_, err = v.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) { return k, checkHeader(t) })
		if !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
			return claims, &k[0], err
		}
	}
	return nil, nil, err
}

// checkLife refuses what no Signer makes, though it has a good signature.
func (v *ServiceVerifier) checkLife(claims *serviceClaims) error {
	switch {
	case claims.Issuer == "":
		return refuse(ReasonMalformed, "the service token does not say who calls")
	case !slices.Contains(v.issuers, claims.Issuer):
		return refuse(ReasonIssuer, "the service token was issued by %.40q, which is no service of the mesh", claims.Issuer)
	case claims.IssuedAt == nil:
		return refuse(ReasonMalformed, "the service token does not say when it was issued")
	// Clocks may differ by half a life, whatever the token says of when it was made.
	case claims.ExpiresAt.Sub(claims.IssuedAt.Time) > serviceTokenLife, time.Until(claims.ExpiresAt.Time) > serviceTokenLife*3/2:
		return refuse(ReasonMalformed, "the service token is good for longer than %s", serviceTokenLife)
	}
	return nil
}

// VerifyHeader checks the value of an authorization header that must hold a
// service token. Every error is fault.Unauthenticated with a reason.
func (v *ServiceVerifier) VerifyHeader(authorization string) (ServiceCall, error) {
	token, err := bearerToken(authorization)
	if err != nil {
		return ServiceCall{}, err
	}
	return v.Verify(token)
}
