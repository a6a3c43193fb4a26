package identity

import (
	"crypto/sha256"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// serviceCacheSize bounds the service tokens remembered as good.
const serviceCacheSize = 4096

// ServiceVerifier checks the tokens that a Signer makes. It is safe for
// concurrent use.
type ServiceVerifier struct {
	key    []byte
	parser *jwt.Parser
	good   *cache[[sha256.Size]byte, ServiceCall]
}

// ServiceCall is what a good service token says: Service calls on behalf of
// Identity.
type ServiceCall struct {
	Identity Identity
	Service  string
}

// NewServiceVerifier makes the verifier from the mesh secret. It gives
// fault.Invalid when the secret is shorter than MinSecret, and keeps no
// reference to it.
func NewServiceVerifier(secret []byte) (*ServiceVerifier, error) {
	key, err := DeriveKey(secret, servicePurpose)
	if err != nil {
		return nil, err
	}
	return &ServiceVerifier{
		key: key,
		// The algorithm is ours to say, never the token's.
		parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithAudience(meshAudience), jwt.WithExpirationRequired()),
		good: newCache[[sha256.Size]byte, ServiceCall](serviceCacheSize),
	}, nil
}

// Verify checks a service token, as it stands after "Bearer ". Every error is
// fault.Unauthenticated with a reason.
func (v *ServiceVerifier) Verify(token string) (ServiceCall, error) {
	if err := checkSize(token); err != nil {
		return ServiceCall{}, err
	}
	now, hash := time.Now(), hashOf(token)
	if call, ok := v.good.get(hash, now); ok {
		return call, nil
	}
	var claims serviceClaims
	// HMAC tags are compared in constant time by the library (hmac.Equal).
	_, err := v.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		return v.key, checkHeader(t)
	})
	if err != nil {
		return ServiceCall{}, tokenRefusal(err)
	}
	id, err := claims.identity()
	if err == nil {
		err = id.check()
	}
	call := ServiceCall{Identity: id, Service: claims.Issuer}
	if err != nil || call.Service == "" {
		return ServiceCall{}, refuseFor(err, ReasonMalformed, "the service token does not say who calls")
	}
	v.good.put(hash, call, claims.ExpiresAt.Time)
	return call, nil
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
