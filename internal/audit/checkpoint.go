package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Checkpoint is a signed head.
type Checkpoint struct {
	Head
	Time time.Time `json:"time"`
	// Key is the Ed25519 public key, and Signature is by it.
	Key       []byte `json:"key"`
	Signature []byte `json:"signature"`
}

// checkpointVersion separates these signatures from all others.
const checkpointVersion = "driftmesh audit checkpoint v1"

func (c *Checkpoint) signed() []byte {
	b := append([]byte(checkpointVersion), c.Hash[:]...)
	b = binary.BigEndian.AppendUint64(b, c.Seq)
	return binary.BigEndian.AppendUint64(b, uint64(c.Time.UnixMicro())) //nolint:gosec // two's complement
}

// Sign makes a checkpoint of a head.
func Sign(h Head, now time.Time, key ed25519.PrivateKey) Checkpoint {
	c := Checkpoint{Head: h, Time: now.Truncate(time.Microsecond).UTC(), Key: key.Public().(ed25519.PublicKey)} //nolint:forcetypeassert // says crypto/ed25519
	c.Signature = ed25519.Sign(key, c.signed())
	return c
}

// Check tells whether the signature is good. Whose the key is, the caller must know.
func (c *Checkpoint) Check() error {
	if len(c.Key) != ed25519.PublicKeySize || !ed25519.Verify(c.Key, c.signed(), c.Signature) {
		return fault.Invalid.New("audit checkpoint at entry %d: the signature is wrong", c.Seq)
	}
	return nil
}

// Fingerprint names a public key: the first 16 hex digits of its SHA-256.
func Fingerprint(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}
