package identity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
)

func apiKey(id string) string {
	return identity.FormatAPIKey(id, []byte("0123456789abcdef0123456789abcdef"))
}

// keyring stands in for auth's CheckAPIKey.
type keyring struct {
	mu    sync.Mutex
	keys  map[string]time.Time // key → end
	away  error
	wait  chan struct{}
	asked atomic.Int64
}

func (k *keyring) check(ctx context.Context, key string) (identity.Identity, time.Time, error) {
	k.asked.Add(1)
	k.mu.Lock()
	ends, ok := k.keys[key]
	away, wait := k.away, k.wait
	k.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return identity.Identity{}, time.Time{}, ctx.Err()
		}
	}
	switch {
	case away != nil:
		return identity.Identity{}, time.Time{}, away
	case !ok:
		return identity.Identity{}, time.Time{}, fault.NotFound.New("no such key")
	}
	id, _, err := identity.ParseAPIKey(key)
	return identity.Identity{Tenant: "acme", Subject: id, Kind: identity.Key}, ends, err
}

func (k *keyring) remove(key string) { k.set(func(k *keyring) { delete(k.keys, key) }) }

func (k *keyring) set(change func(*keyring)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(k)
}

func TestAPIKeyIsAskedForOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &keyring{keys: map[string]time.Time{apiKey("k1"): {}}}
		verifier := identity.NewKeyVerifier(auth.check)
		for range 60 {
			id, err := verifier.Verify(t.Context(), apiKey("k1"))
			require.NoError(t, err)
			require.Equal(t, identity.Identity{Tenant: "acme", Subject: "k1", Kind: identity.Key}, id)
			time.Sleep(time.Second)
		}
		require.EqualValues(t, 1, auth.asked.Load())

		auth.set(func(k *keyring) { delete(k.keys, apiKey("k1")) })
		_, err := verifier.Verify(t.Context(), apiKey("k1"))
		requireRefused(t, err, identity.ReasonAPIKeyRefused)
		require.EqualValues(t, 2, auth.asked.Load())

		_, err = verifier.Verify(t.Context(), apiKey("k1"))
		requireRefused(t, err, identity.ReasonAPIKeyRefused)
		require.EqualValues(t, 2, auth.asked.Load(), "a refusal is remembered")
		time.Sleep(5 * time.Second)
		_, err = verifier.Verify(t.Context(), apiKey("k1"))
		requireRefused(t, err, identity.ReasonAPIKeyRefused)
		require.EqualValues(t, 3, auth.asked.Load(), "but not for long")
	})
}

func TestAPIKeyEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &keyring{keys: map[string]time.Time{
			apiKey("k1"): time.Now().Add(10 * time.Second),
			apiKey("k2"): time.Now().Add(-time.Second),
		}}
		verifier := identity.NewKeyVerifier(auth.check)
		_, err := verifier.Verify(t.Context(), apiKey("k1"))
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		_, err = verifier.Verify(t.Context(), apiKey("k1"))
		requireRefused(t, err, identity.ReasonAPIKeyRefused)
		_, err = verifier.Verify(t.Context(), apiKey("k2"))
		requireRefused(t, err, identity.ReasonAPIKeyRefused)
	})
}

func TestAPIKeysWhileAuthIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &keyring{keys: map[string]time.Time{apiKey("k1"): {}, apiKey("k2"): {}}}
		verifier := identity.NewKeyVerifier(auth.check)
		_, err := verifier.Verify(t.Context(), apiKey("k1"))
		require.NoError(t, err)

		// Unauthenticated here means that auth refused the gateway, not the key.
		for _, away := range []error{errors.New("connection refused"), fault.Unavailable.New("away"), fault.Unauthenticated.New("who are you")} {
			auth.set(func(k *keyring) { k.away = away })
			_, err = verifier.Verify(t.Context(), apiKey("k1"))
			require.NoError(t, err)
			_, err = verifier.Verify(t.Context(), apiKey("k2"))
			requireUnverifiable(t, err)
		}
		time.Sleep(time.Minute)
		_, err = verifier.Verify(t.Context(), apiKey("k1"))
		requireUnverifiable(t, err)

		auth.set(func(k *keyring) { k.away = nil })
		for _, id := range []string{"k1", "k2"} {
			_, err = verifier.Verify(t.Context(), apiKey(id))
			require.NoError(t, err, "back at once")
		}
	})
}

func TestAPIKeyThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &keyring{wait: make(chan struct{})}
		verifier := identity.NewKeyVerifier(auth.check)
		begun := time.Now()
		_, err := verifier.Verify(t.Context(), apiKey("k1"))
		requireUnverifiable(t, err)
		require.Equal(t, 3*time.Second, time.Since(begun))
	})
}

func TestConcurrentChecksOfOneKeyAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &keyring{keys: map[string]time.Time{apiKey("k1"): {}}, wait: make(chan struct{})}
		verifier := identity.NewKeyVerifier(auth.check)

		leader, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := verifier.Verify(leader, apiKey("k1"))
			left <- err
		}()
		synctest.Wait()

		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				_, err := verifier.Verify(t.Context(), apiKey("k1"))
				require.NoError(t, err)
			})
		}
		synctest.Wait()
		require.EqualValues(t, 1, auth.asked.Load())

		leave() // the others must not suffer
		require.ErrorIs(t, <-left, context.Canceled)
		synctest.Wait()
		require.EqualValues(t, 2, auth.asked.Load())
		close(auth.wait)
		wg.Wait()
		require.EqualValues(t, 2, auth.asked.Load())
	})
}

func TestQuestionsAboutKeysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &keyring{wait: make(chan struct{})}
		verifier := identity.NewKeyVerifier(auth.check)
		var wg sync.WaitGroup
		for n := range 500 {
			wg.Go(func() {
				_, err := verifier.Verify(t.Context(), apiKey(fmt.Sprint("k", n)))
				requireUnverifiable(t, err)
			})
		}
		synctest.Wait()
		require.EqualValues(t, 64, auth.asked.Load())
		wg.Wait()
	})
}

func TestMalformedAPIKeysAreRefusedWithoutAsking(t *testing.T) {
	auth := &keyring{}
	verifier := identity.NewKeyVerifier(auth.check)
	good := apiKey("k1")
	for _, bad := range []string{
		"", "dm_", "dm__", "dm_k1", "dm_k1_", "dm_k1_short", "xx" + good, good + "A", good[:len(good)-1],
		"dm_k/1_" + good[6:], "dm_" + strings.Repeat("k", 65) + good[5:], strings.Repeat("x", 1<<20),
		good[:len(good)-1] + "B", // not canonical: would be the same key in other words
	} {
		_, err := verifier.Verify(t.Context(), bad)
		requireRefused(t, err, identity.ReasonAPIKeyRefused)
	}
	require.Zero(t, auth.asked.Load())
}
