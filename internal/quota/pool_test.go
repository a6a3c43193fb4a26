package quota_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/quota"
)

// However many try at once, nobody ever sees more taken than there is, nor is refused
// for what another was refused.
func TestPoolIsNeverOverdrawn(t *testing.T) {
	t.Parallel()
	pool := quota.NewPool(100)
	var share, other quota.Share
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20_000 {
				if pool.Take(&share, 7, 20, 0) == quota.Given {
					pool.Give(&share, 7)
				}
			}
		})
	}
	all.Go(func() {
		for range 20_000 {
			if pool.Take(&other, 1, 0, 0) != quota.Given {
				t.Error("another tenant is refused")
				return
			}
			pool.Give(&other, 1)
		}
	})
	for range 20_000 {
		if n := share.Used(); n > 20 {
			t.Fatalf("%d of 20 are taken", n)
		}
	}
	all.Wait()
	require.Zero(t, pool.Used())
}
