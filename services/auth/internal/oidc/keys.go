package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// keepKeys is how long keys are believed without asking again: how long a key
	// stays good that the provider has withdrawn.
	keepKeys = 10 * time.Minute
	// refetchEvery is how often tokens with unknown keys make us fetch again in the
	// long run, and refetchBurst how often at once: who forges tokens must not
	// become load on the provider, and a key that is new must be found.
	refetchEvery = 15 * time.Second
	refetchBurst = 4
	// maxKeys bounds what is taken of a key set, and minRSA and maxRSA its keys, in
	// bits.
	maxKeys        = 100
	minRSA, maxRSA = 2048, 8192
)

// algorithms are how a provider may sign: with keys of which it publishes half.
// With the others whoever knows the published half could sign, or anybody.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// keySet is what a provider signs with. It is safe for concurrent use.
type keySet struct {
	url    func(context.Context) (string, error)
	client *http.Client
	away   func(error) error
	may    *rate.Limiter
	flight singleflight.Group

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // zero for never
	failed  failure
}

// verify gives what a token says that was signed with one of the keys.
func (s *keySet) verify(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, refuse(err, "TOKEN_MALFORMED", "the token is malformed, or signed in a way that is not supported")
	}
	head := signed.Signatures[0].Header
	keys, err := s.find(ctx, head)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if payload, err := signed.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, refuse(nil, "TOKEN_SIGNATURE_INVALID", "the token's signature is not valid")
}

// find gives the keys that a token may be signed with, fetching them if need be.
func (s *keySet) find(ctx context.Context, head jose.Header) ([]jose.JSONWebKey, error) {
	keys, fresh := s.known(head)
	if fresh && len(keys) > 0 {
		return keys, nil
	}
	// What has grown old is fetched whoever asks; for a key that is not known, only
	// as often as is allowed.
	if !fresh || s.may.Allow() {
		if err := s.fetch(ctx); err != nil {
			return nil, err
		}
		keys, _ = s.known(head)
	}
	if len(keys) == 0 {
		return nil, refuse(nil, "TOKEN_KEY_UNKNOWN", "the token was signed with a key that the provider does not publish")
	}
	return keys, nil
}

// known gives what there is without asking, and whether that is recent.
func (s *keySet) known(head jose.Header) (keys []jose.JSONWebKey, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.keys {
		if key.KeyID == head.KeyID && (key.Algorithm == "" || key.Algorithm == head.Algorithm) {
			keys = append(keys, key)
		}
	}
	if head.KeyID == "" && len(s.keys) == 1 { // it need not be named (OpenID Connect Core, 10.1)
		keys = s.keys
	}
	return keys, !s.fetched.IsZero() && time.Since(s.fetched) < keepKeys
}

func (s *keySet) fetch(ctx context.Context) error {
	_, err, _ := s.flight.Do("", func() (any, error) {
		s.mu.Lock()
		failed := s.failed.recent()
		s.mu.Unlock()
		if failed != nil {
			return nil, failed
		}
		// Others wait for this one: it does not end with its first caller.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		url, err := s.url(ctx)
		if err != nil {
			return nil, err
		}
		keys, err := s.load(ctx, url)
		if err != nil {
			err = s.away(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.failed.note(err); err == nil {
			s.keys, s.fetched = keys, time.Now()
		}
		return nil, err
	})
	return err
}

// failure is how asking failed the last time: a provider that is away, or ill, is
// not asked again at once.
type failure struct {
	err error
	at  time.Time
}

// retryAfter is when it is asked again.
const retryAfter = 3 * time.Second

func (f *failure) note(err error) { f.err, f.at = err, time.Now() }

func (f *failure) recent() error {
	if time.Since(f.at) < retryAfter {
		return f.err
	}
	return nil
}

func (s *keySet) load(ctx context.Context, url string) ([]jose.JSONWebKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch keys: %s", resp.Status)
	}
	return parseKeys(raw)
}

// parseKeys takes the keys of a set that can be used, and leaves out the others: a
// set may have keys of kinds that are newer than we.
func parseKeys(raw []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("read keys: there are %d, want at most %d", len(set.Keys), maxKeys)
	}
	var out []jose.JSONWebKey
	for _, one := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(one) == nil && (key.Use == "" || key.Use == "sig") && strong(key.Key) {
			out = append(out, key)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("read keys: none of %d can be used", len(set.Keys))
	}
	return out, nil
}

// strong reports whether a key is the public half of one, and long enough.
func strong(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

func refuse(cause error, reason, message string) error {
	return fault.Unauthenticated.Wrap(cause, "%s", message).WithReason(reason)
}
