package identity

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCacheIsBoundedAndForgetsTheLeastUsed(t *testing.T) {
	now := time.Now()
	c := newCache[int, string](3)
	for n := range 3 {
		c.put(n, "x", now.Add(time.Minute))
	}
	_, ok := c.get(0, now) // 1 is now the one used longest ago
	require.True(t, ok)
	c.put(3, "x", now.Add(time.Minute))
	_, ok = c.get(1, now)
	require.False(t, ok)
	for _, n := range []int{0, 2, 3} {
		_, ok = c.get(n, now)
		require.True(t, ok, n)
	}
	c.put(3, "y", now.Add(time.Minute))
	value, _ := c.get(3, now)
	require.Equal(t, "y", value)
	require.Equal(t, 3, c.len())
}

func TestCacheEntriesEnd(t *testing.T) {
	now := time.Now()
	c := newCache[string, int](3)
	c.put("a", 1, now.Add(time.Second))
	_, ok := c.get("a", now.Add(time.Second-1))
	require.True(t, ok)
	_, ok = c.get("a", now.Add(time.Second))
	require.False(t, ok)
	require.Zero(t, c.len())
}
