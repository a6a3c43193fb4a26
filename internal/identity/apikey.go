package identity

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// KeyPrefix begins every API key, so that people and secret scanners know
	// one when they see it.
	KeyPrefix = "dm_"
	// KeySecretSize is the length of an API key's secret in bytes.
	KeySecretSize = 32
	// maxAPIKeyID bounds the id in an API key, in bytes.
	maxAPIKeyID = 64

	// keyTrust is how long a good key is believed without asking again, unless
	// auth says before that it was revoked: how long a revoked key stays good
	// where auth cannot be heard.
	keyTrust = time.Minute
	// keyDistrust is how long a refused key is refused without asking again.
	keyDistrust = 5 * time.Second
	// keyCacheSize bounds each of the two caches.
	keyCacheSize = 16384
	// keyChecks bounds the questions to auth at any time.
	keyChecks = 64
	// keyCheckTimeout bounds one question.
	keyCheckTimeout = 3 * time.Second
)

// ParseAPIKey splits "dm_<id>_<secret>", where the id is letters and digits and
// the secret 32 bytes in unpadded URL base64. It gives fault.Unauthenticated
// for anything else, without quoting it.
func ParseAPIKey(key string) (id string, secret []byte, err error) {
	rest, ok := strings.CutPrefix(key, KeyPrefix)
	id, text, found := strings.Cut(rest, "_")
	if !ok || !found || !wellFormedKeyID(id) ||
		len(text) != base64.RawURLEncoding.EncodedLen(KeySecretSize) {
		return "", nil, errKeyForm()
	}
	// Strict: else several texts would be the same key.
	secret, err = base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return "", nil, errKeyForm()
	}
	return id, secret, nil
}

// FormatAPIKey is the inverse of ParseAPIKey.
func FormatAPIKey(id string, secret []byte) string {
	return KeyPrefix + id + "_" + base64.RawURLEncoding.EncodeToString(secret)
}

func wellFormedKeyID(id string) bool {
	if len(id) == 0 || len(id) > maxAPIKeyID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func errKeyForm() error {
	return refuse(ReasonAPIKeyRefused, "the API key is malformed: want %s<id>_<secret>", KeyPrefix)
}

// KeyCheck asks whose an API key is and when it ends (zero for never). It must
// give fault.NotFound for a key that is unknown, revoked or expired; any other
// error means that this could not be found out.
type KeyCheck func(ctx context.Context, key string) (Identity, time.Time, error)

// KeyVerifier checks API keys by asking, and remembers the answers for a short
// while: a good key for up to a minute, or until it is heard that it was revoked,
// a bad one for a few seconds. It is safe for concurrent use.
type KeyVerifier struct {
	check  KeyCheck
	good   *cache[[sha256.Size]byte, proof]
	bad    *cache[[sha256.Size]byte, *fault.Fault]
	flight *flight[[sha256.Size]byte, proof]
	slots  chan struct{}

	revocations *Revocations // nil for none
}

// Heed makes the verifier ask again about keys of which it is heard that
// something about them changed. Call it before the first Verify.
func (v *KeyVerifier) Heed(r *Revocations) *KeyVerifier {
	v.revocations = r
	return v
}

// NewKeyVerifier makes a verifier that asks check.
func NewKeyVerifier(check KeyCheck) *KeyVerifier {
	return &KeyVerifier{
		check:  check,
		good:   newCache[[sha256.Size]byte, proof](keyCacheSize),
		bad:    newCache[[sha256.Size]byte, *fault.Fault](keyCacheSize),
		flight: newFlight[[sha256.Size]byte, proof](),
		slots:  make(chan struct{}, keyChecks),
	}
}

// Verify tells whose key it is. It gives fault.Unauthenticated for a key that
// is refused, and fault.Unavailable when that cannot be found out now.
func (v *KeyVerifier) Verify(ctx context.Context, key string) (Identity, error) {
	found, err := v.prove(ctx, key)
	return found.identity, err
}

func (v *KeyVerifier) prove(ctx context.Context, key string) (proof, error) {
	if len(key) > maxToken {
		return proof{}, errKeyForm()
	}
	// By hash, so that no key lies about in memory and none is compared byte
	// by byte.
	hash, now := sha256.Sum256([]byte(key)), time.Now()
	if found, ok := v.good.get(hash, now); ok && !v.changed(found) {
		return found, nil
	}
	if _, _, err := ParseAPIKey(key); err != nil {
		return proof{}, err
	}
	if refusal, ok := v.bad.get(hash, now); ok {
		return proof{}, refusal
	}
	return v.flight.do(ctx, hash, func(ctx context.Context) (proof, error) {
		return v.ask(ctx, key, hash)
	})
}

// changed tells whether something about a key may have changed since it was
// asked for.
func (v *KeyVerifier) changed(found proof) bool {
	return v.revocations != nil && v.revocations.Revoked(found.holder())
}

func (v *KeyVerifier) ask(ctx context.Context, key string, hash [sha256.Size]byte) (proof, error) {
	askCtx, cancel := context.WithTimeout(ctx, keyCheckTimeout)
	defer cancel()
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-askCtx.Done():
		return proof{}, keyUnverifiable(askCtx.Err())
	}
	var head int64
	if v.revocations != nil {
		head, _ = v.revocations.Head() // before asking: what comes later is about the answer
	}
	id, ends, err := v.check(askCtx, key)
	now := time.Now()
	switch {
	case errors.Is(err, fault.NotFound):
		refusal := refuseFor(err, ReasonAPIKeyRefused, "the API key is unknown, revoked or expired")
		v.bad.put(hash, refusal, now.Add(keyDistrust))
		return proof{}, refusal
	case err != nil:
		return proof{}, keyUnverifiable(err)
	}
	if err := id.check(); err != nil {
		return proof{}, keyUnverifiable(err)
	}
	trust := now.Add(keyTrust)
	if !ends.IsZero() && ends.Before(trust) {
		trust = ends
	}
	if !now.Before(trust) {
		return proof{}, refuse(ReasonAPIKeyRefused, "the API key has expired")
	}
	found := proof{identity: id, head: head, ends: ends}
	v.good.put(hash, found, trust)
	return found, nil
}

func keyUnverifiable(cause error) error {
	return fault.Unavailable.Wrap(cause, "the API key cannot be checked now, because auth does not answer").
		WithReason(ReasonNotVerifiable).WithRetryAfter(time.Second)
}
