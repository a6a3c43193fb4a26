// Package token makes what callers prove themselves with: user tokens, signed
// with keys that are stored sealed, and API keys, of which only a hash is
// stored.
package token

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
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
}

// Keys is where signing keys are stored.
type Keys interface {
	// SigningKeys gives all stored keys, the oldest first. It lets choose see
	// them, and stores the key that choose returns, if any, in the same
	// transaction. choose may be called several times.
	SigningKeys(ctx context.Context, choose func([]Sealed) (*Sealed, error)) ([]Sealed, error)
}

// Ring holds the keys that sign user tokens. It is immutable, and safe for
// concurrent use.
type Ring struct {
	keys []signingKey // the oldest first; the last one signs
	jwks string
}

type signingKey struct {
	id      string
	private ed25519.PrivateKey
}

// Load opens the stored keys with the mesh secret, and makes one at the first
// start. Keys sealed with another secret are left out, and their tokens with
// them: when the secret was changed because it leaked, so have they.
func Load(ctx context.Context, stored Keys, secret []byte) (*Ring, error) {
	key, err := identity.DeriveKey(secret, sealPurpose)
	if err != nil {
		return nil, err
	}
	seal, err := newSeal(key)
	if err != nil {
		return nil, err
	}
	all, err := stored.SigningKeys(ctx, func(all []Sealed) (*Sealed, error) {
		if len(seal.openAll(all)) > 0 {
			return nil, nil
		}
		return seal.fresh()
	})
	if err != nil {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	ring := &Ring{keys: seal.openAll(all)}
	if len(ring.keys) == 0 {
		return nil, errors.New("load signing keys: none can be opened")
	}
	ring.jwks, err = ring.publish()
	return ring, err
}

// JWKS is the public half of the ring (RFC 7517, RFC 8037).
func (r *Ring) JWKS() string { return r.jwks }

// Issue makes a token for a user that ends after life.
func (r *Ring) Issue(user account.User, life time.Duration) (token string, ends time.Time, err error) {
	signer := r.keys[len(r.keys)-1]
	now := time.Now()
	// A token knows seconds; what we tell the caller must not be later.
	ends = now.Add(life).Truncate(time.Second)
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, &identity.UserClaims{
		Tenant: user.Tenant, GrantClaims: identity.ClaimsOf(user.Grant),
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: identity.TokenIssuer, Audience: jwt.ClaimStrings{identity.TokenAudience},
			Subject: user.Name, ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(ends),
		},
	})
	t.Header["kid"] = signer.id
	token, err = t.SignedString(signer.private)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign token: %w", err)
	}
	return token, ends, nil
}

func (r *Ring) publish() (string, error) {
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
	for _, k := range r.keys {
		set.Keys = append(set.Keys, jwk{Kty: "OKP", Crv: "Ed25519", Alg: "EdDSA", Use: "sig", Kid: k.id,
			X: base64.RawURLEncoding.EncodeToString(k.public())})
	}
	text, err := json.Marshal(set)
	return string(text), err
}

func (k signingKey) public() ed25519.PublicKey {
	return k.private.Public().(ed25519.PublicKey) //nolint:forcetypeassert // says crypto/ed25519
}

// seal encrypts and decrypts signing keys.
type seal struct{ aead cipher.AEAD }

func newSeal(key []byte) (seal, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return seal{}, fmt.Errorf("make seal: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return seal{}, fmt.Errorf("make seal: %w", err)
	}
	return seal{aead}, nil
}

// fresh makes a key. Its id is made from the public half, so that two rings
// never publish different keys under one id.
func (s seal) fresh() (*Sealed, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	sum := sha256.Sum256(public)
	id := hex.EncodeToString(sum[:8])
	return &Sealed{ID: id, Box: s.aead.Seal(nil, nil, private.Seed(), []byte(id)), Created: time.Now()}, nil
}

// openAll gives those keys that were sealed with this seal.
func (s seal) openAll(all []Sealed) []signingKey {
	var keys []signingKey
	for _, sealed := range all {
		seed, err := s.aead.Open(nil, nil, sealed.Box, []byte(sealed.ID))
		if err == nil && len(seed) == ed25519.SeedSize {
			keys = append(keys, signingKey{sealed.ID, ed25519.NewKeyFromSeed(seed)})
		}
	}
	return keys
}
