package stat_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/stat"
)

// golden is a line of what testdata/golden.py computed without driftmesh.
type golden struct {
	Function           string
	Args               []float64
	Reference, Current []uint64
	Grid, Weights      []float64
	Want               float64
	List               []float64
}

func whole(v float64) uint64 { return uint64(v) }

// call is a function by its name in the golden file.
var call = map[string]func(g golden) float64{
	"Normal":            func(g golden) float64 { return stat.Normal(g.Args[0]) },
	"NormalQuantile":    func(g golden) float64 { return stat.NormalQuantile(g.Args[0]) },
	"ChiSquare":         func(g golden) float64 { return stat.ChiSquare(g.Args[0], g.Args[1]) },
	"ChiSquareQuantile": func(g golden) float64 { return stat.ChiSquareQuantile(g.Args[0], g.Args[1]) },
	"Gamma":             func(g golden) float64 { return stat.Gamma(g.Args[0], g.Args[1]) },
	"Poisson":           func(g golden) float64 { return stat.Poisson(whole(g.Args[0]), g.Args[1]) },
	"Student":           func(g golden) float64 { return stat.Student(g.Args[0], g.Args[1]) },
	"StudentQuantile":   func(g golden) float64 { return stat.StudentQuantile(g.Args[0], g.Args[1]) },
	"F":                 func(g golden) float64 { return stat.F(g.Args[0], g.Args[1], g.Args[2]) },
	"FQuantile":         func(g golden) float64 { return stat.FQuantile(g.Args[0], g.Args[1], g.Args[2]) },
	"Binomial":          func(g golden) float64 { return stat.Binomial(whole(g.Args[0]), whole(g.Args[1]), g.Args[2]) },
	"BinomialLower":     func(g golden) float64 { return stat.BinomialLower(whole(g.Args[0]), whole(g.Args[1]), g.Args[2]) },
	"BetaBinomial": func(g golden) float64 {
		return stat.BetaBinomial(whole(g.Args[0]), whole(g.Args[1]), g.Args[2], g.Args[3])
	},
	"Fisher":             func(g golden) float64 { p, _ := stat.Fisher(table(g.Args)); return p },
	"FisherMid":          func(g golden) float64 { _, mid := stat.Fisher(table(g.Args)); return mid },
	"Kolmogorov":         func(g golden) float64 { return stat.Kolmogorov(g.Args[0]) },
	"KolmogorovQuantile": func(g golden) float64 { return stat.KolmogorovQuantile(g.Args[0]) },
	"Bridge":             func(g golden) float64 { return stat.Bridge(g.Args[0], g.Args[1:]) },
	"Imhof":              func(g golden) float64 { return stat.Imhof(g.Args[0], g.Args[1:]) },
	"BridgeSquares":      func(g golden) float64 { return stat.BridgeSquares(g.Args[0], g.Grid, g.Weights) },
	"Smirnov":            func(g golden) float64 { return stat.Smirnov(g.Reference, g.Current) },
}

func table(a []float64) stat.Table {
	return stat.Table{HitsA: whole(a[0]), N: whole(a[1]), HitsB: whole(a[2]), M: whole(a[3])}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/golden.json")
	require.NoError(t, err)
	var lines []golden
	require.NoError(t, json.Unmarshal(text, &lines))
	corrections := map[string]func([]float64) []float64{
		"Bonferroni": stat.Bonferroni, "Holm": stat.Holm, "BenjaminiHochberg": stat.BenjaminiHochberg,
	}
	seen := map[string]bool{}
	for _, g := range lines {
		seen[g.Function] = true
		if correct, ok := corrections[g.Function]; ok {
			require.InDeltaSlice(t, g.List, correct(g.Args), 1e-12, g.Function)
			continue
		}
		tolerance := 1e-9
		if g.Function == "Bridge" { // its error is absolute
			tolerance = 1e-10 / g.Want
		}
		got := call[g.Function](g)
		if math.Abs(got-g.Want) > tolerance*math.Abs(g.Want) {
			t.Errorf("%s%v = %.15g, want %.15g: off by %.1e", g.Function, g.Args, got, g.Want, got/g.Want-1)
		}
	}
	require.Len(t, seen, len(call)+len(corrections), "every function has golden values")
}

func TestQuantilesInvert(t *testing.T) {
	t.Parallel()
	for _, p := range []float64{0.9, 0.5, 0.05, 0.01, 1e-4} {
		weights := equal(10)
		require.InEpsilon(t, p, stat.BridgeSquares(stat.BridgeSquaresQuantile(p, equal(10), weights), equal(10), weights), 1e-9)
		require.InEpsilon(t, p, stat.Gamma(stat.GammaQuantile(p, 3.3), 3.3), 1e-9)
		require.InEpsilon(t, p, stat.Bridge(stat.BridgeQuantile(p, equal(10)), equal(10)), 1e-6)
	}
	require.True(t, math.IsInf(stat.ChiSquareQuantile(0, 9), 1))
	require.True(t, math.IsInf(stat.StudentQuantile(0, 9), 1))
	require.Zero(t, stat.ChiSquareQuantile(0.05, 0))
	require.InDelta(t, 1, stat.ChiSquare(5, 0), 0)
}

// equal is the grid of n equal cells.
func equal(n int) []float64 {
	grid := make([]float64, n-1)
	for i := range grid {
		grid[i] = float64(i+1) / float64(n)
	}
	return grid
}

// Critical values of the reference for drift methods.
func TestBridgeCriticalValues(t *testing.T) {
	t.Parallel()
	for cells, want := range map[int][2]float64{5: {1.1032, 1.3753}, 10: {1.1758, 1.4467}, 20: {1.2285, 1.4985}, 50: {1.2759, 1.5455}} {
		require.InDelta(t, want[0], stat.BridgeQuantile(0.05, equal(cells)), 6e-5)
		require.InDelta(t, want[1], stat.BridgeQuantile(0.01, equal(cells)), 6e-5)
	}
}

func TestBridgePassesOverWhatItCannotResolve(t *testing.T) {
	t.Parallel()
	want := stat.Bridge(1.2, equal(10))
	for _, crumb := range []float64{1e-4, 1e-9, 1e-15} {
		require.InDelta(t, want, stat.Bridge(1.2, append(equal(10), 1-crumb)), 1e-9)
		require.InDelta(t, want, stat.Bridge(1.2, append([]float64{crumb}, equal(10)...)), 1e-9)
	}
	require.InDelta(t, stat.Kolmogorov(1.2), stat.Bridge(1.2, equal(255)), 0.02)
	require.Greater(t, stat.Bridge(1.2, equal(255)), stat.Bridge(1.2, equal(50)))
	require.InDelta(t, stat.Kolmogorov(4), stat.Bridge(4, equal(10)), 0, "a bound where the integral has no digits left")
	require.InDelta(t, 1, stat.Bridge(1, nil), 0)
}

func TestUrnDrawsTheHypergeometricDistribution(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		counts []uint64
		draws  uint64
	}{
		{[]uint64{30, 50, 0, 20, 400}, 40},           // place by place
		{[]uint64{30_000, 700, 0, 900, 68_000}, 140}, // of many places
		{[]uint64{1 << 40, 1 << 39, 0, 1 << 38}, 40}, // value by value
		{[]uint64{30000, 50000, 20000}, 900},         // cell by cell
		{[]uint64{30000, 50000, 20000}, 99_100},      // what is left behind
		{[]uint64{1 << 52, 1 << 51, 1 << 51}, 500},   // huge
	} {
		urn := stat.NewUrn(c.counts)
		source := rand.New(rand.NewPCG(1, 2))
		total := 0.0
		for _, v := range c.counts {
			total += float64(v)
		}
		const rounds = 20000
		sum, squares := make([]float64, len(c.counts)), make([]float64, len(c.counts))
		out := make([]uint64, len(c.counts))
		for range rounds {
			urn.Draw(source, c.draws, out)
			drawn := uint64(0)
			for i, v := range out {
				require.LessOrEqual(t, v, c.counts[i])
				drawn += v
				sum[i] += float64(v)
				squares[i] += float64(v) * float64(v)
			}
			require.Equal(t, c.draws, drawn)
		}
		n := float64(c.draws)
		for i, v := range c.counts {
			share := float64(v) / total
			mean, variance := n*share, n*share*(1-share)*(total-n)/(total-1)
			got := sum[i] / rounds
			require.InDelta(t, mean, got, 5*math.Sqrt(variance/rounds)+1e-9)
			require.InDelta(t, variance, squares[i]/rounds-got*got, 0.06*variance+1e-9)
		}
	}
}

func FuzzTailsAreProbabilities(f *testing.F) {
	f.Add(1.0, 2.0, 3.0, uint64(4), uint64(5))
	f.Add(1e300, 1e-300, 0.2, uint64(1<<53), uint64(0))
	f.Fuzz(func(t *testing.T, x, a, b float64, k, n uint64) {
		if math.IsNaN(x) || !(a >= 0.2 && a < 1e16 && b >= 0.2 && b < 1e16) {
			return
		}
		k, n = k%(1<<53), n%(1<<53)
		p := b / (a + b)
		mid, _ := stat.Fisher(stat.Table{HitsA: min(k, n), N: n, HitsB: min(k/3, n/2), M: n / 2})
		for i, v := range []float64{
			stat.Normal(x), stat.Gamma(x, a), stat.Student(x, a), stat.F(x, a, b), stat.Poisson(k, a),
			stat.Binomial(k, n, p), stat.BinomialLower(k, n, p), stat.Kolmogorov(x), mid, stat.BetaBinomial(k%5000, n%5000, a, b),
			stat.Imhof(x, []float64{a, b, 1}), stat.BridgeSquares(x, []float64{p / 2, p}, []float64{a, b}), stat.Bridge(x, []float64{p / 2, p}),
		} {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("tail %d of %g, %g, %g, %d, %d is %g", i, x, a, b, k, n, v)
			}
		}
	})
}

func BenchmarkTails(b *testing.B) {
	urn, out := stat.NewUrn([]uint64{100, 100, 100, 100, 100, 100, 100, 100, 100, 200}), make([]uint64, 10)
	source := rand.New(rand.NewPCG(1, 2))
	lambda := make([]float64, 50)
	for i := range lambda {
		lambda[i] = 1 / float64((i+1)*(i+1))
	}
	for name, run := range map[string]func(){
		"ChiSquare": func() { stat.ChiSquare(20, 9) },
		"Student":   func() { stat.Student(2, 99) },
		"Bridge10":  func() { stat.Bridge(1.2, equal(10)) },
		"Bridge50":  func() { stat.Bridge(1.2, equal(50)) },
		"Bridge200": func() { stat.Bridge(1.2, equal(200)) },
		"BridgeQ10": func() { stat.BridgeQuantile(0.05, equal(10)) },
		"Imhof50":   func() { stat.Imhof(3, lambda) },
		"Squares50": func() { stat.BridgeSquares(1, equal(50), equal(50)) },
		"SquaresQ":  func() { stat.BridgeSquaresQuantile(0.05, equal(50), equal(50)) },
		"Draw100":   func() { urn.Draw(source, 100, out) },
		"Draw500":   func() { urn.Draw(source, 500, out) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				run()
			}
		})
	}
}

// By counting: sums of binomial coefficients.
func TestHypergeometric(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, draws, hits, total uint64
		want                  float64
	}{
		{0, 10, 5, 20, 1}, {6, 10, 5, 20, 0}, {4, 5, 7, 20, 476.0 / 15504}, {5, 5, 5, 20, 1.0 / 15504}, {1, 1, 3, 4, 0.75},
	} {
		require.InDelta(t, c.want, stat.Hypergeometric(c.k, c.draws, c.hits, c.total), 1e-9, "%+v", c)
	}
	// Both tails make up all, however large.
	upper := stat.Hypergeometric(3100, 10000, 300000, 1000000)
	others := stat.Hypergeometric(10000-3099, 10000, 700000, 1000000)
	require.InDelta(t, 1, upper+others, 1e-9)
}
