package exact_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/exact"
)

func TestMomentsDoNotCancel(t *testing.T) {
	t.Parallel()
	m := exact.Of(4, 1e9+4, 1e9+7, 1e9+13, 1e9+16)
	for want, of := range map[float64]func() (float64, error){
		1e9 + 10: m.Mean, 30: m.Variance, math.Sqrt(30): m.StdDev, 0: m.Skewness,
		1.36: m.Kurtosis, // (6⁴+3⁴+3⁴+6⁴)/4 / 22.5²
	} {
		got, err := of()
		require.NoError(t, err)
		require.Equal(t, want, got) //nolint:testifylint // exact
	}
}

// TestMoments holds the moments against rational numbers, and thereby against
// the textbook definitions rather than sums of powers.
func TestMoments(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	for i := range 200 {
		values := make([]float64, 2+r.IntN(30))
		for k := range values {
			values[k] = math.Ldexp(r.NormFloat64()+float64(r.IntN(3))*1e8, r.IntN(1+i%60))
		}
		m := exact.Of(4, values...)
		n := big.NewRat(int64(len(values)), 1)
		mean := new(big.Rat)
		for _, x := range values {
			mean.Add(mean, new(big.Rat).SetFloat64(x))
		}
		mean.Quo(mean, n)
		var c [5]*big.Rat
		for p := range c {
			c[p] = new(big.Rat)
			for _, x := range values {
				d := new(big.Rat).Sub(new(big.Rat).SetFloat64(x), mean)
				term := big.NewRat(1, 1)
				for range p {
					term.Mul(term, d)
				}
				c[p].Add(c[p], term)
			}
			c[p].Quo(c[p], n)
		}
		near := func(want *big.Rat, of func() (float64, error)) {
			t.Helper()
			got, err := of()
			require.NoError(t, err)
			w, _ := want.Float64()
			require.Equal(t, w, got, "%v", values) //nolint:testifylint // exact
		}
		near(mean, m.Mean)
		near(new(big.Rat).Quo(new(big.Rat).Mul(c[2], n), new(big.Rat).Sub(n, big.NewRat(1, 1))), m.Variance)
		near(new(big.Rat).Quo(c[4], new(big.Rat).Mul(c[2], c[2])), m.Kurtosis)
		m2, _ := c[2].Float64()
		m3, _ := c[3].Float64()
		skew, err := m.Skewness()
		require.NoError(t, err)
		require.InDelta(t, m3/math.Pow(m2, 1.5), skew, 1e-12*math.Sqrt(float64(len(values))))
	}
}

func TestMomentsAtTheEdges(t *testing.T) {
	t.Parallel()
	empty := exact.NewMoments(4)
	for _, of := range []func() (float64, error){empty.Mean, empty.Variance, empty.StdDev, empty.Skewness, empty.Kurtosis} {
		_, err := of()
		require.ErrorIs(t, err, exact.ErrEmpty)
	}
	one := exact.Of(4, 3)
	_, err := one.Variance()
	require.ErrorIs(t, err, exact.ErrEmpty)
	require.True(t, one.Constant())

	tiny := exact.Of(2, 5e-324, 1e-323) // a variance beyond float64
	sd, err := tiny.StdDev()
	require.NoError(t, err)
	require.Equal(t, 5e-324, sd) //nolint:testifylint // √½ of the least float rounds to it
	require.False(t, tiny.Constant())
	variance, err := tiny.Variance()
	require.NoError(t, err)
	require.Zero(t, variance)

	huge := exact.Of(2, 1e308, -1e308)
	_, err = huge.Variance()
	require.ErrorIs(t, err, exact.ErrOverflow)
	sd, err = huge.StdDev()
	require.NoError(t, err)
	require.InEpsilon(t, math.Sqrt2*1e308, sd, 1e-15)
	require.True(t, exact.Of(2, 0, math.Copysign(0, -1)).Constant())
}

// TestReadersShare is for the race detector.
func TestReadersShare(t *testing.T) {
	t.Parallel()
	m := exact.Of(4, nasty...)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			_, _ = m.Mean()
			_, _ = m.Kurtosis()
			_ = exact.NewMoments(4).Merge(m)
			_, _ = m.MarshalBinary()
		})
	}
	group.Wait()
}

func TestAddTimes(t *testing.T) {
	t.Parallel()
	one, many := exact.NewMoments(4), exact.NewMoments(4)
	for _, x := range nasty {
		require.True(t, many.AddTimes(x, 3))
		for range 3 {
			one.Add(x)
		}
	}
	require.True(t, many.AddTimes(7, 0))
	require.False(t, many.AddTimes(math.NaN(), 2))
	want, err := one.MarshalBinary()
	require.NoError(t, err)
	got, err := many.MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestDifferenceOfMeans(t *testing.T) {
	t.Parallel()
	d, err := exact.Difference(exact.Of(1, 1e17, 1e17, 1e17), exact.Of(1, 1e17, 1e17, 1e17+16))
	require.NoError(t, err)
	require.Equal(t, 16.0/3, d) //nolint:testifylint // exact, where both means round to the same
	_, err = exact.Difference(exact.NewMoments(1), exact.Of(1, 1))
	require.ErrorIs(t, err, exact.ErrEmpty)
}

func TestMomentsTravel(t *testing.T) {
	t.Parallel()
	whole, left, right := exact.Of(3, nasty...), exact.Of(3, nasty[:7]...), exact.Of(3, nasty[7:]...)
	require.NoError(t, left.Merge(right))
	want, err := whole.MarshalBinary()
	require.NoError(t, err)
	got, err := left.MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, want, got)
	var back exact.Moments
	require.NoError(t, back.UnmarshalBinary(got))
	require.Equal(t, uint64(len(nasty)), back.N())
	require.Equal(t, 3, back.Order())
	require.ErrorIs(t, back.Merge(exact.NewMoments(2)), exact.ErrOrder)
	for cut := range got {
		require.ErrorIs(t, back.UnmarshalBinary(got[:cut]), exact.ErrMalformed)
	}
	require.ErrorIs(t, back.UnmarshalBinary(append(got, 0)), exact.ErrMalformed)
}

func BenchmarkSum(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	values := make([]float64, 4096)
	for i := range values {
		values[i] = r.NormFloat64() * 100
	}
	b.Run("plain", func(b *testing.B) {
		var s float64
		for i := 0; b.Loop(); i++ {
			s += values[i%len(values)]
		}
		_ = s
	})
	for order := 1; order <= exact.MaxOrder; order++ {
		b.Run("order"+string(rune('0'+order)), func(b *testing.B) {
			s := exact.NewSum(order)
			for i := 0; b.Loop(); i++ {
				s.Add(values[i%len(values)])
			}
		})
	}
	b.Run("merge", func(b *testing.B) {
		total, part := exact.NewMoments(2), exact.Of(2, values...)
		for b.Loop() {
			if err := total.Merge(part); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("variance", func(b *testing.B) {
		m := exact.Of(2, values...)
		for b.Loop() {
			if _, err := m.Variance(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
