// Package token makes what callers prove themselves with: user tokens, signed
// with keys that are stored sealed, and API keys, of which only a hash is
// stored.
package token

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

// sealPurpose separates the key that seals signing keys from other uses of the
// mesh secret.
const sealPurpose = "auth signing keys v1"

// Sealed is a signing key as it is stored: encrypted, so that a copy of the
// database is not enough to sign tokens.
type Sealed struct {
	ID      string
	Box     []byte // nonce and AES-256-GCM of the seed; the id is authenticated too
	Created time.Time
	SignsAt time.Time // zero for at once
}

// Change is what is to become of the stored keys.
type Change struct {
	Add    *Sealed
	Reseal []Sealed // known ones in another box
	Drop   []string // ids
}

// Keys is where signing keys are stored.
type Keys interface {
	// SigningKeys lets choose see all stored keys, in the order in which they
	// sign, changes them as it says in the same transaction, and gives what there
	// is then. choose may be called several times.
	SigningKeys(ctx context.Context, choose func([]Sealed) (Change, error)) ([]Sealed, error)
}

// Rotation says when signing keys take turns.
type Rotation struct {
	// Every is how long a key signs; zero for ever.
	Every time.Duration
	// Lead is how long a key is published before it signs: longer than it takes
	// everybody to hear of it.
	Lead time.Duration
	// Keep is how long a key is published after it has signed: longer than a
	// token lives.
	Keep time.Duration
}

// Ring holds the keys that sign user tokens. It is safe for concurrent use.
type Ring struct {
	stored   Keys
	seal     seal
	rotation Rotation
	state    atomic.Pointer[ringState]
}

// ringState is immutable.
type ringState struct {
	keys []signingKey // in the order in which they sign, at least one
	jwks string
	// version is a hash of jwks.
	version string
}

type signingKey struct {
	id      string
	private ed25519.PrivateKey
	created time.Time
	signsAt time.Time
	stale   bool // sealed with another secret than the first
}

// Load opens the stored keys with the mesh secrets, and makes one at the first
// start. What another than the first has sealed is sealed anew with that, so that
// a rotation of the secret costs nobody a login. Keys sealed with a secret that is
// gone are left out, and their tokens with them: when it was taken away because it
// leaked, so have they.
func Load(ctx context.Context, stored Keys, secrets *identity.Secrets, rotation Rotation) (*Ring, error) {
	r := &Ring{stored: stored, seal: seal{secrets.Keys(sealPurpose)}, rotation: rotation}
	return r, r.Refresh(ctx)
}

// Refresh takes up what other replicas did, makes the next key when it is time,
// and drops those that no token needs any more.
func (r *Ring) Refresh(ctx context.Context) error { return r.change(ctx, false) }

// Rotate makes the next key now. It gives the key's id and when it begins to
// sign; when a key is about to already, it gives that one.
func (r *Ring) Rotate(ctx context.Context) (id string, signs time.Time, err error) {
	if err := r.change(ctx, true); err != nil {
		return "", time.Time{}, err
	}
	keys := r.state.Load().keys
	last := keys[len(keys)-1]
	return last.id, last.signsAt, nil
}

func (r *Ring) change(ctx context.Context, rotate bool) error {
	all, err := r.stored.SigningKeys(ctx, func(all []Sealed) (Change, error) {
		return r.choose(r.seal.openAll(all), rotate)
	})
	if err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	state := &ringState{keys: r.seal.openAll(all)}
	if len(state.keys) == 0 {
		return errors.New("load signing keys: none can be opened")
	}
	if state.jwks, err = publish(state.keys); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(state.jwks))
	state.version = hex.EncodeToString(sum[:8])
	r.state.Store(state)
	return nil
}

// choose says what is to become of the keys.
func (r *Ring) choose(keys []signingKey, rotate bool) (change Change, err error) {
	now := time.Now()
	if len(keys) == 0 {
		change.Add, err = r.seal.fresh(time.Time{})
		return change, err
	}
	for _, k := range keys {
		if !k.stale {
			continue
		}
		box, err := r.seal.shut(k)
		if err != nil {
			return change, err
		}
		change.Reseal = append(change.Reseal, box)
	}
	last := keys[len(keys)-1]
	due := r.rotation.Every > 0 && now.Sub(last.since()) >= r.rotation.Every
	if signs := !last.signsAt.After(now); signs && (due || rotate) {
		if change.Add, err = r.seal.fresh(now.Add(r.rotation.Lead)); err != nil {
			return change, err
		}
	}
	for i, k := range keys[:len(keys)-1] {
		if now.Sub(keys[i+1].signsAt) > r.rotation.Keep {
			change.Drop = append(change.Drop, k.id)
		}
	}
	return change, nil
}

// since is when a key began to sign.
func (k signingKey) since() time.Time {
	if k.signsAt.IsZero() {
		return k.created
	}
	return k.signsAt
}

// signer is the key that signs now.
func (r *Ring) signer() signingKey {
	keys := r.state.Load().keys
	now := time.Now()
	for i := len(keys) - 1; i > 0; i-- {
		if !keys[i].signsAt.After(now) {
			return keys[i]
		}
	}
	return keys[0]
}

// JWKS is the public half of the ring (RFC 7517, RFC 8037).
func (r *Ring) JWKS() string { return r.state.Load().jwks }

// Version changes with JWKS.
func (r *Ring) Version() string { return r.state.Load().version }

// Grant is what an access token is about.
type Grant struct {
	User account.User
	// Session is the id of the session that it belongs to.
	Session string
	// Head is the number of the last revocation before it was decided: later ones
	// are about this token.
	Head int64
	// Renew is what lets the token be renewed; empty for one that cannot be.
	Renew string
}

// Issue makes a token that ends after life.
func (r *Ring) Issue(grant Grant, life time.Duration) (token string, ends time.Time, err error) {
	signer := r.signer()
	user := grant.User
	now := time.Now()
	// A token knows seconds; what we tell the caller must not be later.
	ends = now.Add(life).Truncate(time.Second)
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, &standingClaims{Renew: grant.Renew, UserClaims: identity.UserClaims{
		Tenant: user.Tenant, GrantClaims: identity.ClaimsOf(user.Grant), Session: grant.Session, Head: grant.Head,
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: identity.TokenIssuer, Audience: jwt.ClaimStrings{identity.TokenAudience},
			Subject: user.Name, ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(ends),
		},
	}})
	t.Header["kid"] = signer.id
	token, err = t.SignedString(signer.private)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign token: %w", err)
	}
	return token, ends, nil
}

func publish(keys []signingKey) (string, error) {
	type jwk struct {
		Kty string `json:"kty"`
		Crv string `json:"crv"`
		Alg string `json:"alg"`
		Use string `json:"use"`
		Kid string `json:"kid"`
		X   string `json:"x"`
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{}
	for _, k := range keys {
		set.Keys = append(set.Keys, jwk{Kty: "OKP", Crv: "Ed25519", Alg: "EdDSA", Use: "sig", Kid: k.id,
			X: base64.RawURLEncoding.EncodeToString(k.public())})
	}
	text, err := json.Marshal(set)
	return string(text), err
}

func (k signingKey) public() ed25519.PublicKey {
	return k.private.Public().(ed25519.PublicKey) //nolint:forcetypeassert // says crypto/ed25519
}

// seal encrypts signing keys with the first of the secrets, and decrypts what any
// of them has encrypted.
type seal struct{ keys *identity.Keys }

// fresh makes a key. Its id is made from the public half, so that two rings
// never publish different keys under one id.
func (s seal) fresh(signs time.Time) (*Sealed, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	sum := sha256.Sum256(public)
	box, err := s.shut(signingKey{id: hex.EncodeToString(sum[:8]), private: private, created: time.Now(), signsAt: signs})
	return &box, err
}

// shut seals a key.
func (s seal) shut(k signingKey) (Sealed, error) {
	box, err := s.keys.Seal(k.private.Seed(), []byte(k.id))
	if err != nil {
		return Sealed{}, err
	}
	return Sealed{ID: k.id, Box: box, Created: k.created, SignsAt: k.signsAt}, nil
}

// openAll gives those keys that can be opened.
func (s seal) openAll(all []Sealed) []signingKey {
	var keys []signingKey
	for _, sealed := range all {
		if key, ok := s.open(sealed); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

func (s seal) open(sealed Sealed) (signingKey, bool) {
	seed, which, ok := s.keys.Open(sealed.Box, []byte(sealed.ID))
	if ok && len(seed) == ed25519.SeedSize {
		return signingKey{sealed.ID, ed25519.NewKeyFromSeed(seed), sealed.Created, sealed.SignsAt, which > 0}, true
	}
	return signingKey{}, false
}
