package token

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
)

const (
	// refreshPrefix begins every refresh token, so that secret scanners know one
	// when they see it.
	refreshPrefix = "dmr_"
	refreshSize   = 32
	sessionSize   = 16
)

// NewSession makes the id of a session.
func NewSession() string {
	var id [sessionSize]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return hex.EncodeToString(id[:])
}

// NewRefresh makes a refresh token of a session: as its holder sends it, and the
// hash to store.
func NewRefresh(session string) (token string, hash []byte) {
	var secret [refreshSize]byte
	_, _ = rand.Read(secret[:]) // never fails (crypto/rand)
	return refreshPrefix + session + "_" + base64.RawURLEncoding.EncodeToString(secret[:]), hashSecret(secret[:])
}

// ParseRefresh gives the session and the hash of a refresh token. It gives
// fault.Unauthenticated for a text that is none, without quoting it.
func ParseRefresh(text string) (session string, hash []byte, err error) {
	rest, ok := strings.CutPrefix(text, refreshPrefix)
	session, secret, found := strings.Cut(rest, "_")
	id, err := hex.DecodeString(session)
	if !ok || !found || err != nil || len(id) != sessionSize || strings.ToLower(session) != session ||
		len(secret) != base64.RawURLEncoding.EncodedLen(refreshSize) {
		return "", nil, errRefresh()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	if err != nil {
		return "", nil, errRefresh()
	}
	return session, hashSecret(raw), nil
}

func errRefresh() error {
	return fault.Unauthenticated.New("the refresh token is malformed").WithReason("REFRESH_TOKEN_MALFORMED")
}

const (
	devicePrefix = "dmd_"
	// deviceLife is how long a device is known after a login; the next login
	// gives it another token.
	deviceLife = 180 * 24 * time.Hour
	// devicePurpose separates the key of devices from other uses of the mesh
	// secret.
	devicePurpose = "auth devices v1"
	deviceIDSize  = 12
)

// Devices makes and checks what a user's device shows at the next login, so that
// it is not taken for a stranger's. It proves nothing but that somebody has
// logged in there before. It is safe for concurrent use.
type Devices struct{ keys *identity.Keys }

// NewDevices makes Devices from the mesh secrets: the first makes tokens, and those
// that any of them made are known.
func NewDevices(secrets *identity.Secrets) *Devices {
	return &Devices{secrets.Keys(devicePurpose)}
}

// New makes the token of a device from which a user has logged in.
func (d *Devices) New(tenant, user string) string {
	var id [deviceIDSize]byte
	_, _ = rand.Read(id[:])                   // never fails (crypto/rand)
	hours := uint32(time.Now().Unix() / 3600) //nolint:gosec // until the year 491936
	id[0], id[1], id[2], id[3] = byte(hours>>24), byte(hours>>16), byte(hours>>8), byte(hours)
	return devicePrefix + hex.EncodeToString(id[:]) + "_" + deviceTag(d.keys.All()[0], id[:], tenant, user)
}

// Check gives the id of the device that a token is of; "" when the token is not
// good for this user, or was made too long ago.
func (d *Devices) Check(text, tenant, user string) string {
	rest, ok := strings.CutPrefix(text, devicePrefix)
	name, tag, found := strings.Cut(rest, "_")
	id, err := hex.DecodeString(name)
	// One device has one text: decoding takes capital letters, and ends of lines.
	if !ok || !found || err != nil || len(id) != deviceIDSize || hex.EncodeToString(id) != name {
		return ""
	}
	ours := func(key []byte) bool { return hmac.Equal([]byte(tag), []byte(deviceTag(key, id, tenant, user))) }
	if !slices.ContainsFunc(d.keys.All(), ours) {
		return ""
	}
	made := time.Unix(3600*(int64(id[0])<<24|int64(id[1])<<16|int64(id[2])<<8|int64(id[3])), 0)
	if age := time.Since(made); age > deviceLife || age < -time.Hour {
		return ""
	}
	return name
}

// deviceTag is the text of a MAC of what a device is known for.
func deviceTag(key, id []byte, tenant, user string) string {
	h := hmac.New(sha256.New, key)
	h.Write(id)
	h.Write([]byte(tenant + "/" + user)) // a tenant has no slash
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
