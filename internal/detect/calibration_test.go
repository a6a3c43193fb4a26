package detect_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/detect"
)

// shape makes windows without drift, each with a reference of its own: with one
// for all, they would be all quiet or all loud.
type shape struct {
	name string
	draw func(source *rand.Rand, n, m uint64) *detect.Input
}

func shapes() []shape {
	poisson := make([]float64, 16)
	for k := range poisson {
		lg, _ := math.Lgamma(float64(k + 1))
		poisson[k] = math.Exp(float64(k)*math.Log(3) - 3 - lg)
	}
	zipf := make([]float64, 50)
	for k := range zipf {
		zipf[k] = 1 / float64(k+1)
	}
	return []shape{
		{"deciles", deciles},
		{"ties", func(source *rand.Rand, n, m uint64) *detect.Input {
			return &detect.Input{
				Kind: detect.Values, Bounds: ascending(len(poisson) + 1),
				Reference: detect.Side{Counts: multinomial(source, n, poisson)},
				Current:   detect.Side{Counts: multinomial(source, m, poisson)},
			}
		}},
		{"zipf", func(source *rand.Rand, n, m uint64) *detect.Input {
			in := &detect.Input{Kind: detect.Categories}
			r, c := multinomial(source, n, zipf), multinomial(source, m, zipf)
			for i := range r {
				if r[i] == 0 { // the reference does not know it
					in.Current.Unseen += c[i]
					continue
				}
				in.Reference.Counts = append(in.Reference.Counts, r[i])
				in.Current.Counts = append(in.Current.Counts, c[i])
			}
			return in
		}},
	}
}

// deciles cuts continuous values at the deciles of the reference, which has the
// same number of rows in each cell: it is the true shares of the cells that are
// chance, the gaps between every N/10th of N uniform values.
func deciles(source *rand.Rand, n, m uint64) *detect.Input {
	const cells = 10
	in := &detect.Input{Kind: detect.Quantiles, Bounds: ascending(cells + 1)}
	shares := make([]float64, cells)
	for i := range shares {
		in.Reference.Counts = append(in.Reference.Counts, n/cells)
		shares[i] = gamma(source, float64(n/cells))
	}
	in.Current.Counts = multinomial(source, m, shares)
	return in
}

func ascending(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(i)
	}
	return out
}

// multinomial draws counts by conditional binomials.
func multinomial(source *rand.Rand, n uint64, weights []float64) []uint64 {
	left := 0.0
	for _, w := range weights {
		left += w
	}
	out := make([]uint64, len(weights))
	for i, w := range weights {
		if i == len(weights)-1 {
			out[i] = n
			break
		}
		out[i] = binomial(source, n, min(w/left, 1))
		n -= out[i]
		left -= w
	}
	return out
}

// binomial inverts the distribution, going outwards from its mode.
func binomial(source *rand.Rand, n uint64, p float64) uint64 {
	if p <= 0 || n == 0 {
		return 0
	}
	if p >= 1 {
		return n
	}
	size, mode := float64(n), math.Floor(float64(n+1)*p)
	a, _ := math.Lgamma(size + 1)
	b, _ := math.Lgamma(mode + 1)
	c, _ := math.Lgamma(size - mode + 1)
	up, down := mode, mode
	above := math.Exp(a - b - c + mode*math.Log(p) + (size-mode)*math.Log1p(-p))
	below := above
	for rest := source.Float64() - above; rest >= 0 && (above > 0 || below > 0); {
		above *= (size - up) / (up + 1) * p / (1 - p)
		up++
		if rest -= above; rest < 0 {
			return uint64(up)
		}
		below *= down / (size - down + 1) * (1 - p) / p
		down--
		if rest -= below; rest < 0 {
			return uint64(down)
		}
	}
	return uint64(mode)
}

// gamma is Marsaglia and Tsang's method for a shape of at least 1.
func gamma(source *rand.Rand, shape float64) float64 {
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := source.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(source.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// band is the true false-alarm rate, in percent, that is taken as holding 5 and
// 1 %.
type band struct{ low5, high5, low1, high1 float64 }

// bands of detectors that are conservative by construction: tests of few rows
// have few possible p-values, a union bound and a gamma approximation err on the
// quiet side, and so does Hellinger's expansion with many rare categories.
func bandOf(d *detect.Detector) band {
	switch d.Name {
	case "proportion":
		return band{0.5, 6.5, 0, 1.8}
	case "ks":
		return band{2.5, 6.3, 0.3, 1.7}
	case "total_variation", "l_infinity":
		return band{3, 6.6, 0.2, 1.8}
	case "hellinger":
		return band{2.2, 6.6, 0.1, 1.8}
	}
	return band{3.4, 6.6, 0.5, 1.8}
}

// windows is how many windows each rate is of: CALIBRATE, or few, and fewer where
// each is drawn.
func windows(t *testing.T) (many, drawn int) {
	if v := os.Getenv("CALIBRATE"); v != "" {
		n, err := strconv.Atoi(v)
		require.NoError(t, err)
		return n, n
	}
	return 80, 25
}

// TestFalseAlarms holds the false-alarm rate of every detector with a p-value,
// at 5 and 1 %, on continuous, tied and categorical data. `make calibrate` runs
// it with 10,000 windows for each rate, and prints the table.
func TestFalseAlarms(t *testing.T) {
	t.Parallel()
	many, drawn := windows(t)
	var asked, done atomic.Int64
	for _, sh := range shapes() {
		for _, n := range []uint64{1_000, 100_000} {
			for _, d := range ofCells() {
				if !d.HasP || d.Needs&detect.Order != 0 && sh.name == "zipf" {
					continue
				}
				asked.Add(1)
				t.Run(fmt.Sprintf("%s/%s/%d", d.Name, sh.name, n), func(t *testing.T) {
					t.Parallel() // over the cores, once all are asked
					var line strings.Builder
					for _, m := range []uint64{100, 1_000, 10_000} {
						five, one, of := falseAlarms(d, sh, n, m, many, drawn)
						fmt.Fprintf(&line, " %.1f/%.1f;", 100*float64(five)/float64(of), 100*float64(one)/float64(of))
						b := bandOf(d)
						holds(t, five, of, b.low5, b.high5, m)
						holds(t, one, of, b.low1, b.high1, m)
					}
					t.Logf("%-18s %-8s N %-6d%s  (%d of %d)", d.Name, sh.name, n, line.String(), done.Add(1), asked.Load())
				})
			}
		}
	}
}

func falseAlarms(d *detect.Detector, sh shape, n, m uint64, many, drawn int) (five, one, of int) {
	source := rand.New(rand.NewPCG(n, m))
	var params map[string]float64
	if slices.ContainsFunc(d.Params, func(p detect.Param) bool { return p.Name == detect.Replicates }) {
		// 199 draws tell 5 and 1 % exactly; alpha only says how many to make.
		params = map[string]float64{detect.Replicates: 199, detect.Alpha: 0.1}
	}
	for of < many {
		in := sh.draw(source, n, m)
		in.Seed, in.Params = uint64(of), params
		r := d.Judge(in)
		of++
		if r.P <= 0.05 {
			five++
		}
		if r.P <= 0.01 {
			one++
		}
		if r.Method == detect.MonteCarlo && of >= drawn {
			break
		}
	}
	return five, one, of
}

// holds allows four standard errors beyond the band.
func holds(t *testing.T, alarms, of int, low, high float64, m uint64) {
	t.Helper()
	limit := func(percent, side float64) float64 {
		p := percent / 100
		return float64(of)*p + side*4*math.Sqrt(float64(of)*p*(1-p)) + side
	}
	if v := float64(alarms); v < limit(low, -1) || v > limit(high, 1) {
		t.Errorf("M %d: %d alarms in %d windows, outside of %g to %g %%", m, alarms, of, low, high)
	}
}
