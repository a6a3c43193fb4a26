package identity

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// MinSecret is the least length of the mesh secret in bytes: as much as the
// HMAC made with it gives out (RFC 2104, section 3).
const MinSecret = 32

// DeriveKey makes a 32-byte key for one purpose out of the mesh secret, so that
// what leaks of one use says nothing of another. It gives fault.Invalid for a
// secret shorter than MinSecret. The result is as secret as the mesh secret.
func DeriveKey(secret []byte, purpose string) ([]byte, error) {
	if len(secret) < MinSecret {
		return nil, shortSecret(len(secret))
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "driftmesh "+purpose, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return key, nil
}
