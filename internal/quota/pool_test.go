package quota_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/quota"
)

// What is refused is never taken, not for a moment: somebody else would be refused for
// it.
func TestPoolNeverTakesWhatItRefuses(t *testing.T) {
	t.Parallel()
	pool := quota.NewPool(100)
	var share quota.Share
	require.Equal(t, quota.Given, pool.Take(&share, 7, 13, 0))
	var tries sync.WaitGroup
	tries.Go(func() {
		for range 300_000 {
			if pool.Take(&share, 7, 13, 0) == quota.Given {
				t.Error("more than the tenant's own limit is taken")
				return
			}
		}
	})
	for range 300_000 {
		if n := share.Used(); n != 7 {
			t.Fatalf("%d are taken, not 7", n)
		}
	}
	tries.Wait()
	require.EqualValues(t, 7, pool.Used())
}
