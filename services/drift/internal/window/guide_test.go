package window

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A guide says what counting the edges below says, next to edges too, of whatever
// edges and values.
func TestGuideIsExact(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	of := map[string][]float64{
		"thirds": {1. / 3, 2. / 3, 1}, "far": {1e15, 1e15 + 0.125, 1e15 + 0.25}, "zero": {-1, 0, 1}, "vast": {-1e308, 0, 1e308}, "denormal": {0, 5e-324, 1e-323},
		"infinite": {-math.MaxFloat64, math.MaxFloat64}, "one": {4}, "none": nil, "uneven": {1, 1 + 1e-9, 1e9},
	}
	for n := range 60 {
		var edges []float64
		for range 1 + r.IntN(20) {
			edges = append(edges, math.Ldexp(r.NormFloat64(), r.IntN(1+n/15)))
		}
		slices.Sort(edges)
		of[fmt.Sprint("random ", n)] = slices.Compact(edges)
	}
	guided := 0
	for name, edges := range of {
		g := newGuide(edges)
		if g == nil {
			continue
		}
		guided++
		values := []float64{0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64, 5e-324, -5e-324}
		for _, e := range edges {
			values = append(values, e, math.Nextafter(e, math.Inf(1)), math.Nextafter(e, math.Inf(-1)), e+r.NormFloat64(), e*r.NormFloat64())
		}
		for _, v := range values {
			want := 0
			for _, e := range edges {
				if e < v {
					want++
				}
			}
			if !math.IsInf(v, 0) {
				require.Equal(t, want, g.bin(v), "%s: %v among %v", name, v, edges)
			}
		}
	}
	require.Greater(t, guided, 30)
	require.Nil(t, newGuide(of["uneven"]))
}
