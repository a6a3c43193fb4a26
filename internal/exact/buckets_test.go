package exact_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/exact"
)

// The buckets of values are the same sums, in any order and of any split.
func TestBucketsOfValues(t *testing.T) {
	t.Parallel()
	values := slices.Clone(nasty)
	for e := -1074; e <= 1023; e++ {
		p := math.Ldexp(1, e)
		values = append(values, p, -p, math.Nextafter(p, math.Inf(1)), math.Nextafter(p, 0))
	}
	r := rand.New(rand.NewPCG(21, 22))
	for range 3000 {
		values = append(values, any64(r), r.NormFloat64()*100)
	}
	for i, x := range values {
		var one exact.Buckets
		require.True(t, one.Add(x))
		same(t, exact.Of(2, x), one.Moments(1), values[i:i+1])
	}
	var first []exact.Bucket
	for range 3 {
		var all exact.Buckets
		for _, x := range values {
			all.Add(x)
		}
		same(t, exact.Of(2, values...), all.Moments(uint64(len(values))), nil)
		if first == nil {
			first = all.All()
		}
		require.Equal(t, first, all.All(), "in one order, whatever that of the values")
		r.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	}
	var none exact.Buckets
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		require.False(t, none.Add(x))
	}
	require.Empty(t, none.All())
	none.Add(-3)
	none.Reset()
	same(t, exact.NewMoments(2), none.Moments(0), nil)
}

// BenchmarkBuckets is what a value costs.
func BenchmarkBuckets(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 1<<12)
	for i := range values {
		values[i] = 50 + 20*r.NormFloat64()
	}
	var sums exact.Buckets
	for b.Loop() {
		for _, x := range values {
			sums.Add(x)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(values)), "ns/value")
}

func same(t *testing.T, want, got *exact.Moments, values []float64) {
	t.Helper()
	a, err := want.MarshalBinary()
	require.NoError(t, err)
	b, err := got.MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, a, b, "%v", values)
}
