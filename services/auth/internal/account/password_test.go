package account_test

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/argon2"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

var nowhere = account.Place{}

// cheap makes tests fast, not passwords safe.
var cheap = account.HashParams{MemoryKiB: 64, Passes: 1, Lanes: 1}

func TestPasswordHashes(t *testing.T) {
	h := account.NewHasher(cheap)
	one, err := h.Hash(t.Context(), nowhere, "correct horse")
	require.NoError(t, err)
	two, err := h.Hash(t.Context(), nowhere, "correct horse")
	require.NoError(t, err)
	require.NotEqual(t, one, two, "every hash has a salt of its own")
	require.True(t, strings.HasPrefix(one, "$argon2id$v=19$m=64,t=1,p=1$"), one)

	for _, stored := range []string{one, two} {
		right, err := h.Verify(t.Context(), nowhere, "correct horse", stored)
		require.NoError(t, err)
		require.True(t, right)
		right, err = h.Verify(t.Context(), nowhere, "Correct horse", stored)
		require.NoError(t, err)
		require.False(t, right)
	}
	right, err := h.Verify(t.Context(), nowhere, "", "")
	require.NoError(t, err)
	require.False(t, right, "nobody has no password, not an empty one")
}

// A test vector of the reference implementation (phc-winner-argon2, src/test.c):
// "password" with salt "somesalt".
const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestHashesOfTheReferenceImplementation(t *testing.T) {
	h := account.NewHasher(cheap)
	right, err := h.Verify(t.Context(), nowhere, "password", reference)
	require.NoError(t, err)
	require.True(t, right)
	require.True(t, h.Outdated(reference))
	fresh, err := h.Hash(t.Context(), nowhere, "password")
	require.NoError(t, err)
	require.False(t, h.Outdated(fresh))
}

func TestDefaultWorkIsSane(t *testing.T) {
	stored, err := account.NewHasher(account.HashParams{}).Hash(t.Context(), nowhere, "password")
	require.NoError(t, err)
	require.Contains(t, stored, "m=19456,t=2,p=1")
}

// An unknown user must cost the work of a wrong password. Without that work the
// answer comes a thousand times sooner, so a factor of four is far from noise.
func TestUnknownUsersTakeAsLong(t *testing.T) {
	h := account.NewHasher(account.HashParams{MemoryKiB: 8 << 10, Passes: 2, Lanes: 1})
	stored, err := h.Hash(t.Context(), nowhere, "correct horse")
	require.NoError(t, err)
	fastest := map[string]time.Duration{stored: time.Hour, "": time.Hour}
	for range 10 {
		for stored, best := range fastest {
			begun := time.Now()
			right, err := h.Verify(t.Context(), nowhere, "wrong", stored)
			require.NoError(t, err)
			require.False(t, right)
			fastest[stored] = min(best, time.Since(begun))
		}
	}
	require.Greater(t, fastest[""], fastest[stored]/4)
}

func TestFloodsOfLoginsAreBounded(t *testing.T) {
	h := account.NewHasher(account.HashParams{MemoryKiB: 1 << 10, Passes: 4, Lanes: 1})
	var wg sync.WaitGroup
	var mu sync.Mutex
	kinds := map[string]int{}
	for source := range 300 {
		wg.Go(func() {
			_, err := h.Verify(t.Context(), account.Place{Source: strconv.Itoa(source)}, "x", "")
			kind := "done"
			if err != nil {
				kind = fault.KindOf(err).Error()
			}
			mu.Lock()
			kinds[kind]++
			mu.Unlock()
		})
	}
	wg.Wait()
	require.Equal(t, 300, kinds["done"]+kinds["exhausted"], kinds)
	require.Positive(t, kinds["exhausted"])
	require.GreaterOrEqual(t, kinds["done"], 128)
	require.Zero(t, h.Waiting())
}

func TestWaitingForATurnEndsWithTheCaller(t *testing.T) {
	h := account.NewHasher(account.HashParams{MemoryKiB: 4 << 10, Passes: 20, Lanes: 1})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { _, _ = h.Verify(t.Context(), nowhere, "x", "") })
	}
	for range 20 {
		wg.Go(func() { _, _ = h.Verify(ctx, nowhere, "x", "") })
	}
	cancel()
	wg.Wait()
	require.Zero(t, h.Waiting())
}

func FuzzStoredHash(f *testing.F) {
	f.Add(reference)
	f.Add("$argon2id$v=19$m=0,t=0,p=0$$")
	f.Add("$argon2id$v=19$m=99999999999,t=1,p=1$AAAA$AAAA")
	h := account.NewHasher(cheap)
	f.Fuzz(func(t *testing.T, stored string) {
		if strings.Contains(stored, "m=") && !strings.Contains(stored, "m=64,") && len(stored) > 60 {
			t.Skip("would only cost memory")
		}
		right, err := h.Verify(t.Context(), nowhere, "password", stored)
		if !right || err != nil {
			return
		}
		parts := strings.Split(stored, "$")
		salt, err := base64.RawStdEncoding.DecodeString(parts[4])
		require.NoError(t, err)
		want := base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte("password"), salt, 1, 64, 1, 32))
		require.Contains(t, stored, want)
	})
}
