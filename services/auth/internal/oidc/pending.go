package oidc

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/driftmesh/driftmesh/internal/identity"
)

const (
	// pendingLife is how long somebody may take to log in at the provider.
	pendingLife = 10 * time.Minute
	// maxPending bounds a sealed login, in bytes; a cookie has 4096.
	maxPending = 4096
	// sealPurpose separates the key from other uses of the mesh secret.
	sealPurpose = "auth logins at providers v1"
)

// Pending is a login between its beginning and its end.
type Pending struct {
	ID       string `json:"i"`
	Provider string `json:"p"`
	Ends     int64  `json:"e"` // seconds since 1970

	// Of one with a browser.
	Redirect string `json:"r,omitempty"`
	State    string `json:"s,omitempty"`
	Nonce    string `json:"n,omitempty"`
	Verifier string `json:"v,omitempty"`
	ReturnTo string `json:"b,omitempty"`

	// Device is the code of one that is approved elsewhere.
	Device string `json:"d,omitempty"`
}

func newPending(provider string) Pending {
	return Pending{ID: random(), Provider: provider, Ends: time.Now().Add(pendingLife).Unix()}
}

// random is 256 bits as text.
func random() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// Seal lets strangers carry logins: they can neither read nor change them. It is
// safe for concurrent use.
type Seal struct{ keys *identity.Keys }

// NewSeal makes a seal from the mesh secrets: the first seals, and what any of them
// sealed is opened.
func NewSeal(secrets *identity.Secrets) *Seal { return &Seal{secrets.Keys(sealPurpose)} }

// Close seals a login.
func (s *Seal) Close(p Pending) (string, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("seal login: %w", err)
	}
	box, err := s.keys.Seal(raw, nil)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(box), nil
}

// Open gives a login that was sealed and is not too late. It gives
// fault.Unauthenticated for anything else.
func (s *Seal) Open(text string) (Pending, error) {
	if raw, err := base64.RawURLEncoding.DecodeString(text); err == nil && len(text) <= maxPending {
		var p Pending
		plain, _, ok := s.keys.Open(raw, nil)
		if ok && json.Unmarshal(plain, &p) == nil && time.Now().Unix() < p.Ends {
			return p, nil
		}
	}
	return Pending{}, refuse(nil, "LOGIN_UNKNOWN", "this login was not begun here, or too long ago: begin again")
}

// parseRedirect reads a URL to which a browser may be sent back.
func parseRedirect(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(text) > 200 {
		return nil, errors.New("want a URL without a query")
	}
	return u, nil
}
