package identity

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// maxKeyID bounds the id of a key in bytes.
	maxKeyID = 128
	// maxJWKS and maxKeys bound what is read of a published key set.
	maxJWKS = 64 << 10
	maxKeys = 64
	// refreshEvery is how often Run fetches the keys: how long a withdrawn key
	// stays good.
	refreshEvery = time.Minute
	// refreshAtMost is how soon a token with an unknown key may make us fetch
	// again; forged tokens must not become load on auth.
	refreshAtMost = 3 * time.Second
	// firstEvery is how often Run tries to get the keys for the first time: auth
	// may start after us, and until then nobody can come in.
	firstEvery = 200 * time.Millisecond
	// fetchTimeout bounds one fetch.
	fetchTimeout = 3 * time.Second
)

// JWKS is a KeySource that fetches a JSON Web Key Set (RFC 7517) when it meets
// a key it does not know, and now and then in Run. It keeps the last set it
// got, so that known keys go on working when auth is away. It is safe for
// concurrent use.
type JWKS struct {
	fetch  func(context.Context) (string, error)
	flight *flight[string, struct{}]
	state  atomic.Pointer[keySet]
}

// keySet is immutable.
type keySet struct {
	keys map[string]ed25519.PublicKey
	// tried is when a fetch last ended; err is how it ended.
	tried time.Time
	err   error
}

var _ KeySource = (*JWKS)(nil)

// NewJWKS makes a key source from a function that fetches the set as JSON. It
// fetches nothing yet.
func NewJWKS(fetch func(ctx context.Context) (string, error)) *JWKS {
	j := &JWKS{fetch: fetch, flight: newFlight[string, struct{}]()}
	j.state.Store(&keySet{})
	return j
}

// Run fetches the keys at once and every minute, until ctx ends. A fetch that
// fails changes nothing and is tried again, soon while there are no keys at all;
// Run returns nil.
func (j *JWKS) Run(ctx context.Context) error {
	for {
		_ = j.refresh(ctx) // kept in the state, and said to whoever asks for a key
		wait := refreshEvery
		switch state := j.state.Load(); {
		case state.keys == nil:
			wait = firstEvery
		case state.err != nil:
			wait = refreshAtMost
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// Refresh fetches the keys now.
func (j *JWKS) Refresh(ctx context.Context) error { return j.refresh(ctx) }

// Ready tells whether tokens can be checked: whether the keys were fetched at
// least once. It gives fault.Unavailable when not.
func (j *JWKS) Ready(context.Context) error {
	if state := j.state.Load(); state.keys == nil {
		return unverifiable(state.err)
	}
	return nil
}

// Key implements KeySource.
func (j *JWKS) Key(ctx context.Context, id string) (ed25519.PublicKey, error) {
	state := j.state.Load()
	if key, ok := state.keys[id]; ok {
		return key, nil
	}
	if state.tried.IsZero() || time.Since(state.tried) >= refreshAtMost {
		_ = j.refresh(ctx) // its error is in the state
		state = j.state.Load()
	}
	if key, ok := state.keys[id]; ok {
		return key, nil
	}
	if state.keys == nil || state.err != nil {
		return nil, unverifiable(state.err)
	}
	return nil, refuse(ReasonUnknownKey, "the token was signed with a key that is not, or no longer, in use")
}

func unverifiable(cause error) error {
	return fault.Unavailable.Wrap(cause, "credentials cannot be checked now, because auth does not answer").
		WithReason(ReasonNotVerifiable).WithRetryAfter(refreshAtMost)
}

func (j *JWKS) refresh(ctx context.Context) error {
	_, err := j.flight.do(ctx, "", func(ctx context.Context) (struct{}, error) {
		before := j.state.Load()
		fetchCtx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		keys, err := j.load(fetchCtx)
		if ctx.Err() != nil {
			// The caller left; that says nothing about auth.
			return struct{}{}, ctx.Err()
		}
		if err != nil {
			keys = before.keys
		}
		j.state.Store(&keySet{keys: keys, tried: time.Now(), err: err})
		return struct{}{}, err
	})
	return err
}

func (j *JWKS) load(ctx context.Context) (map[string]ed25519.PublicKey, error) {
	text, err := j.fetch(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	return parseJWKS(text)
}

// parseJWKS reads the Ed25519 keys (RFC 8037) of a set and ignores others.
func parseJWKS(text string) (map[string]ed25519.PublicKey, error) {
	if len(text) > maxJWKS {
		return nil, fault.Invalid.New("key set has %d bytes, want at most %d", len(text), maxJWKS)
	}
	var set struct {
		Keys []struct {
			Kty string `json:"kty"`
			Crv string `json:"crv"`
			Kid string `json:"kid"`
			Use string `json:"use"`
			X   string `json:"x"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		return nil, fault.Invalid.Wrap(err, "key set is not JSON")
	}
	if len(set.Keys) > maxKeys {
		return nil, fault.Invalid.New("key set has %d keys, want at most %d", len(set.Keys), maxKeys)
	}
	keys := make(map[string]ed25519.PublicKey, len(set.Keys))
	for _, k := range set.Keys {
		if k.Kty != "OKP" || k.Crv != "Ed25519" || (k.Use != "" && k.Use != "sig") {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize || k.Kid == "" || len(k.Kid) > maxKeyID {
			return nil, fault.Invalid.New("key set: key %q is malformed", k.Kid)
		}
		keys[k.Kid] = x
	}
	if len(keys) == 0 {
		return nil, fault.Invalid.New("key set has no Ed25519 key")
	}
	return keys, nil
}
