package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
)

// standingPurpose separates the key of standing sessions from other uses of the mesh
// secret.
const standingPurpose = "auth standing sessions v1"

// maxStanding bounds a token in bytes before anything is computed from it.
const maxStanding = 8 << 10

// standingClaims are those of an access token, with what lets it be renewed.
type standingClaims struct {
	identity.UserClaims
	// Renew is a MAC of the session and whose it is. It is good for as long as the
	// session stands, also when the key that signed the token is long gone.
	Renew string `json:"rnw,omitempty"`
}

// Standing makes and reads what lets access tokens of a standing session be renewed.
// It is safe for concurrent use.
type Standing struct{ keys *identity.Keys }

// NewStanding makes one from the mesh secrets: the first makes marks, and those that
// any of them made are known.
func NewStanding(secrets *identity.Secrets) *Standing {
	return &Standing{secrets.Keys(standingPurpose)}
}

// Owner is a standing session and whose it is.
type Owner struct{ Session, Tenant, User string }

// Mark is what a token of the session must carry to be renewed.
func (s *Standing) Mark(o Owner) string {
	return o.mark(s.keys.All()[0])
}

// mark is the text of a MAC.
func (o Owner) mark(key []byte) string {
	h := hmac.New(sha256.New, key)
	for _, part := range []string{o.Session, o.Tenant, o.User} {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(part)))) // it cannot fail
		_, _ = h.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Read gives the session of a token, run out or not. What else the token says is not
// looked at. It gives fault.Unauthenticated for one that cannot be renewed.
func (s *Standing) Read(text string) (Owner, error) {
	var claims standingClaims
	if len(text) > maxStanding {
		return Owner{}, errStanding()
	}
	if _, _, err := jwt.NewParser().ParseUnverified(text, &claims); err != nil {
		return Owner{}, errStanding()
	}
	o := Owner{Session: claims.Session, Tenant: claims.Tenant, User: claims.Subject}
	if !slices.ContainsFunc(s.keys.All(), func(key []byte) bool { return hmac.Equal([]byte(claims.Renew), []byte(o.mark(key))) }) {
		return Owner{}, errStanding()
	}
	return o, nil
}

func errStanding() error {
	return fault.Unauthenticated.New("the token cannot be renewed").WithReason("TOKEN_NOT_RENEWABLE")
}
