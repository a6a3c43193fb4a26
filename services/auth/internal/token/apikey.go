package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"

	"github.com/driftmesh/driftmesh/internal/identity"
)

// keyIDSize is the length of an API key's id in random bytes, enough for no two
// to meet.
const keyIDSize = 8

// NewAPIKey makes an API key: its id, the key as its holder sends it, and the
// hash to store. The key is kept nowhere else.
func NewAPIKey() (id, key string, hash []byte) {
	var idBytes [keyIDSize]byte
	var secret [identity.KeySecretSize]byte
	_, _ = rand.Read(idBytes[:]) // never fails (crypto/rand)
	_, _ = rand.Read(secret[:])
	id = hex.EncodeToString(idBytes[:])
	return id, identity.FormatAPIKey(id, secret[:]), hashSecret(secret[:])
}

// SameSecret tells, in constant time, whether hash was made from secret.
func SameSecret(secret, hash []byte) bool {
	return subtle.ConstantTimeCompare(hashSecret(secret), hash) == 1
}

// hashSecret is plain SHA-256 on purpose. A slow, salted hash such as argon2id
// is for passwords, which people choose and others can guess. The secret is 256
// random bits: nobody can guess it however fast the hash is, no two are equal,
// and gateways ask often enough that a slow hash would be a way to overload us.
func hashSecret(secret []byte) []byte {
	sum := sha256.Sum256(secret)
	return sum[:]
}
