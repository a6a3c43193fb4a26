package exact_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/exact"
)

// nasty are values that sums of floats fall over.
var nasty = []float64{
	0, math.Copysign(0, -1), 1, -1, 0.1, -0.1, 1.0 / 3, 1e16, -1e16, 3, 5e-324, -5e-324, 2.2250738585072009e-308,
	2.2250738585072014e-308, -2.2250738585072014e-308, 1e308, -1e308, math.MaxFloat64, -math.MaxFloat64, 1e-300, 1e300,
	math.Pi, 1 << 53, 1<<53 + 2, -(1 << 53), 4294967296, 4294967295, 1e9 + 4, math.Nextafter(1, 2), math.Nextafter(1, 0),
}

// exactly is the sum of the products of order factors, in math/big: a float of
// so many bits that nothing is rounded.
func exactly(order int, values []float64) *big.Float {
	wide := func(x float64) *big.Float { return new(big.Float).SetPrec(20000).SetFloat64(x) }
	sum := wide(0)
	for _, x := range values {
		term := wide(1)
		for range order {
			term.Mul(term, wide(x))
		}
		sum.Add(sum, term)
	}
	return sum
}

func rounded(t *testing.T, want *big.Float) (float64, error) {
	t.Helper()
	f, _ := want.Float64()
	if math.IsInf(f, 0) {
		return 0, exact.ErrOverflow
	}
	if f == 0 {
		f = 0 // never −0
	}
	return f, nil
}

func check(t *testing.T, s *exact.Sum, values []float64) {
	t.Helper()
	want, wantErr := rounded(t, exactly(s.Order(), values))
	got, err := s.Float()
	require.Equal(t, wantErr, err, "order %d of %v", s.Order(), values)
	require.Equal(t, want, got, "order %d of %v", s.Order(), values) //nolint:testifylint // the same bits, not about the same
	raw, err := s.MarshalBinary()
	require.NoError(t, err)
	var back exact.Sum
	require.NoError(t, back.UnmarshalBinary(raw), "%x", raw)
	again, err := back.MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, raw, again)
	require.Equal(t, s.Sign(), back.Sign())
}

func sum(order int, values ...float64) *exact.Sum {
	s := exact.NewSum(order)
	for _, x := range values {
		s.Add(x)
	}
	return &s
}

func TestSumIsThatOfMathBig(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for order := 1; order <= exact.MaxOrder; order++ {
		check(t, sum(order), nil)
		check(t, sum(order, nasty...), nasty)
		for _, x := range nasty {
			check(t, sum(order, x), []float64{x})
			check(t, sum(order, x, 1, x), []float64{x, 1, x})
		}
		for range 300 {
			values := make([]float64, r.IntN(40))
			for i := range values {
				values[i] = any64(r)
			}
			check(t, sum(order, values...), values)
		}
	}
}

// any64 is a finite float of any bits, or a nasty one.
func any64(r *rand.Rand) float64 {
	for r.IntN(4) > 0 {
		if x := math.Float64frombits(r.Uint64()); !math.IsNaN(x) && !math.IsInf(x, 0) {
			return x
		}
	}
	return nasty[r.IntN(len(nasty))]
}

// TestFsum holds the sum against Python's math.fsum: testdata/fsum.py wrote the
// values and the answers.
func TestFsum(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/fsum.jsonl")
	require.NoError(t, err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	n := 0
	for lines.Scan() {
		var row struct {
			Values []string
			Sum    string
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		var s exact.Sum
		for _, text := range row.Values {
			x, err := strconv.ParseFloat(text, 64)
			require.NoError(t, err)
			require.True(t, s.Add(x))
		}
		want, err := strconv.ParseFloat(row.Sum, 64)
		require.NoError(t, err)
		got, err := s.Float()
		require.NoError(t, err)
		require.Equal(t, math.Float64bits(want), math.Float64bits(got), "%v", row.Values)
		n++
	}
	require.NoError(t, lines.Err())
	require.Equal(t, 200, n)
}

func TestSumKnowsWhatIsLost(t *testing.T) {
	t.Parallel()
	got, err := sum(1, 1e16, 1, -1e16, 1, 3).Float()
	require.NoError(t, err)
	require.Equal(t, 5.0, got) //nolint:testifylint // exact
	_, err = sum(1, math.MaxFloat64, math.MaxFloat64).Float()
	require.ErrorIs(t, err, exact.ErrOverflow)
	got, err = sum(1, math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64).Float()
	require.NoError(t, err, "only the result may overflow")
	require.Equal(t, math.MaxFloat64, got) //nolint:testifylint // exact
	got, err = sum(1, math.Copysign(0, -1)).Float()
	require.NoError(t, err)
	require.False(t, math.Signbit(got))
}

func TestSumRefusesWhatIsNotFinite(t *testing.T) {
	t.Parallel()
	for order := 1; order <= exact.MaxOrder; order++ {
		s := exact.NewSum(order)
		require.True(t, s.Add(2))
		for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			require.False(t, s.Add(x))
		}
		got, err := s.Float()
		require.NoError(t, err)
		require.Equal(t, math.Pow(2, float64(order)), got) //nolint:testifylint // exact
	}
}

// TestOrderAndSplitDoNotMatter adds the same values in many orders and pieces.
func TestOrderAndSplitDoNotMatter(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	values := slices.Clone(nasty)
	for range 500 {
		values = append(values, r.NormFloat64()*math.Pow(10, float64(r.IntN(20)-10)))
	}
	for order := 1; order <= exact.MaxOrder; order++ {
		want, err := sum(order, values...).MarshalBinary()
		require.NoError(t, err)
		for range 20 {
			r.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
			pieces := make([]exact.Sum, 1+r.IntN(9))
			for i := range pieces {
				pieces[i] = exact.NewSum(order)
			}
			for _, x := range values {
				pieces[r.IntN(len(pieces))].Add(x)
			}
			total := exact.NewSum(order)
			for i := range pieces {
				require.NoError(t, total.Merge(&pieces[i]))
			}
			got, err := total.MarshalBinary()
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
}

func TestMergeOfItselfAndOfAnotherOrder(t *testing.T) {
	t.Parallel()
	s := sum(1, -1, 0.25)
	require.NoError(t, s.Merge(s))
	got, err := s.Float()
	require.NoError(t, err)
	require.Equal(t, -1.5, got) //nolint:testifylint // exact
	require.ErrorIs(t, s.Merge(sum(2, 1)), exact.ErrOrder)
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	one := big.NewInt(1)
	s := exact.NewSum(1)
	require.NoError(t, s.AddBucket(0, one))
	got, err := s.Float()
	require.NoError(t, err)
	require.Equal(t, 5e-324, got) //nolint:testifylint // exact
	require.NoError(t, s.AddBucket(33, new(big.Int).Lsh(big.NewInt(-3), 18)))
	require.NoError(t, s.AddBucket(0, big.NewInt(-1)))
	got, err = s.Float()
	require.NoError(t, err)
	require.Equal(t, -3.0, got) //nolint:testifylint // exact
	require.Error(t, s.AddBucket(-1, one))
	require.Error(t, s.AddBucket(exact.MaxBucket+1, one))
	require.Error(t, s.AddBucket(1, new(big.Int).Lsh(one, 600)))
	square := exact.NewSum(2)
	require.NoError(t, square.AddBucket(2*exact.MaxBucket, one))
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	for _, raw := range [][]byte{
		nil, {4}, {0x80}, {0, 1}, {0, 0xff}, {0, 1, 0}, {0, 1, 0, 1}, {0, 1, 1, 0}, {0, 0xff, 0xff, 0xff, 0x7f, 1},
		{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1},
	} {
		var s exact.Sum
		require.ErrorIs(t, s.UnmarshalBinary(raw), exact.ErrMalformed, "%x", raw)
	}
}

// floats reads a fuzzer's bytes.
func floats(raw []byte) []float64 {
	var values []float64
	for ; len(raw) >= 8; raw = raw[8:] {
		if x := math.Float64frombits(binary.LittleEndian.Uint64(raw)); !math.IsNaN(x) && !math.IsInf(x, 0) {
			values = append(values, x)
		}
	}
	return values
}

func FuzzSum(f *testing.F) {
	var seed []byte
	for _, x := range nasty {
		seed = binary.LittleEndian.AppendUint64(seed, math.Float64bits(x))
	}
	f.Add(seed, uint8(0), uint8(1))
	f.Add(seed, uint8(3), uint8(7))
	f.Fuzz(func(t *testing.T, raw []byte, order, cut uint8) {
		values := floats(raw)
		p := int(order)%exact.MaxOrder + 1
		k := int(cut) % (len(values) + 1)
		s := sum(p, values[:k]...)
		require.NoError(t, s.Merge(sum(p, values[k:]...)))
		check(t, s, values)
	})
}

func FuzzUnmarshal(f *testing.F) {
	raw, _ := sum(2, nasty...).MarshalBinary()
	f.Add(raw)
	raw, _ = exact.Of(4, nasty...).MarshalBinary()
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s exact.Sum
		if s.UnmarshalBinary(raw) == nil {
			_, err := s.MarshalBinary()
			require.NoError(t, err)
		}
		var m exact.Moments
		if m.UnmarshalBinary(raw) == nil {
			_, err := m.MarshalBinary()
			require.NoError(t, err)
		}
	})
}
