package redis

import (
	"context"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// What a source holds is bounded, however small the messages are.
func TestSourceHoldsNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, int(unsafe.Sizeof(broker.Delivery{})), beside)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, payload := range []string{"", "x", string(make([]byte, 1<<20)), string(make([]byte, held+1))} {
		o := &origin{cfg: broker.ConsumerConfig{MaxMessages: 1}, wake: make(chan struct{}, 1), drawn: make(chan struct{}, 1), life: ended}
		n := 0
		for o.push(payload) {
			n++
		}
		require.Equal(t, max(held/(len(payload)+beside), 1), n, "of %d bytes", len(payload))
		_ = o.take()
		require.True(t, o.push(payload), "there is room again")
	}
}
