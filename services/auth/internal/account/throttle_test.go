package account_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

var patience = account.Patience{Free: 5, Forget: 12 * time.Minute, Forgive: true}

func wrong() (bool, error) { return false, nil }
func right() (bool, error) { return true, nil }

func TestGuessingSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := account.NewThrottle(patience)
		for range 5 {
			_, err := throttle.Try("acme/ann", wrong)
			require.NoError(t, err)
		}
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			pause := time.Duration(seconds) * time.Second
			for range 3 {
				_, err := throttle.Try("acme/ann", func() (bool, error) { t.Error("tried"); return true, nil })
				require.ErrorIs(t, err, fault.Exhausted)
				require.Equal(t, pause, fault.Of(err).RetryAfter())
			}
			_, err := throttle.Try("acme/bob", right)
			require.NoError(t, err, "others are not affected")
			time.Sleep(pause)
			_, err = throttle.Try("acme/ann", wrong)
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		ok, err := throttle.Try("acme/ann", right)
		require.NoError(t, err)
		require.True(t, ok)
		for range 5 { // a right password makes good for the wrong ones
			_, err = throttle.Try("acme/ann", wrong)
			require.NoError(t, err)
		}
	})
}

func TestBurstsDoNotGetAroundThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := account.NewThrottle(patience)
		for range 5 {
			_, err := throttle.Try("acme/ann", wrong)
			require.NoError(t, err)
		}
		time.Sleep(time.Second)
		var tried atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, _ = throttle.Try("acme/ann", func() (bool, error) {
					tried.Add(1)
					time.Sleep(30 * time.Millisecond)
					return false, nil
				})
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, tried.Load())
	})
}

func TestErrorsAndOldFailuresDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle, away := account.NewThrottle(patience), errors.New("away")
		for range 50 {
			_, err := throttle.Try("acme/ann", func() (bool, error) { return false, away })
			require.ErrorIs(t, err, away)
		}
		for range 8 { // once an hour is no guessing
			for range 4 {
				_, err := throttle.Try("acme/ann", wrong)
				require.NoError(t, err)
			}
			time.Sleep(time.Hour + time.Second)
		}
	})
}

func TestThrottleIsBounded(t *testing.T) {
	throttle := account.NewThrottle(patience)
	for n := range 16384 + 20 {
		_, err := throttle.Try(fmt.Sprint("acme/", n), wrong)
		require.NoError(t, err)
	}
	require.Equal(t, 16384, throttle.Size())
}

// Where a right password is no proof of innocence, it buys no further guesses.
func TestARightPasswordForgivesOnlyWhereItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := account.NewThrottle(account.Patience{Free: 5, Forget: time.Minute})
		for range 5 {
			_, err := throttle.Try("192.0.2.1", wrong)
			require.NoError(t, err)
		}
		require.True(t, throttle.Exceeded("192.0.2.1"))
		time.Sleep(firstPause)
		_, err := throttle.Try("192.0.2.1", right)
		require.NoError(t, err)
		_, err = throttle.Try("192.0.2.1", wrong)
		require.NoError(t, err)
		_, err = throttle.Try("192.0.2.1", right)
		require.ErrorIs(t, err, fault.Exhausted)
		time.Sleep(2 * time.Minute)
		require.False(t, throttle.Exceeded("192.0.2.1"), "in time it is forgotten")
	})
}

const firstPause = time.Second

// Of one source only so many are tried at a time, whether they fail or not: each may be a
// question to somebody else, and others would wait behind a thousand of them.
func TestOneSourceTriesAFewAtOnce(t *testing.T) {
	t.Parallel()
	throttle := account.NewThrottle(account.Patience{Free: 30, Forget: time.Minute, AtOnce: 4})
	release, entered := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			_, _ = throttle.Try("a", func() (bool, error) {
				entered <- struct{}{}
				<-release
				return true, nil
			})
		})
		<-entered
	}
	good := func() (bool, error) { return true, nil }
	_, err := throttle.Try("a", good)
	require.ErrorIs(t, err, fault.Exhausted)
	_, err = throttle.Try("b", good)
	require.NoError(t, err)
	close(release)
	all.Wait()
	_, err = throttle.Try("a", good)
	require.NoError(t, err)
}
