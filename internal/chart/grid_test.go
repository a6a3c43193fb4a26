package chart

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGrid integrates e^(−x) by every rule that limits up to the widest use.
func TestGrid(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for width := 0.1; width <= 320; width += 0.5 {
		x, w := grid(0, 3, 3/width)
		seen[len(x)] = true
		sum := 0.0
		for i := range x {
			sum += w[i] * math.Exp(-x[i])
		}
		require.InDelta(t, 1-math.Exp(-3), sum, 1e-13, "%d nodes", len(x))
	}
	require.Greater(t, len(seen), 50)
}
