package detect_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/exact"
)

// chartWindows is how many pairs of reference and sample a rate is taken from.
const chartWindows = 1500

// draw makes a side of so many rows on which nothing has changed.
type draw func(r *rand.Rand, n int) detect.Side

func values(order int, of func(*rand.Rand) float64) draw {
	return func(r *rand.Rand, n int) (s detect.Side) {
		s.Moments = exact.NewMoments(order)
		for range n {
			s.Moments.Add(of(r))
		}
		return s
	}
}

func normal(r *rand.Rand) float64    { return r.NormFloat64() }
func lognormal(r *rand.Rand) float64 { return math.Exp(r.NormFloat64()) }

// scores are labelled rows whose probabilities are right.
func scores(r *rand.Rand, n int) (s detect.Side) {
	bins := make([]detect.ScoreBin, 101)
	for i := range bins {
		bins[i].Score = float64(i) / 100
	}
	c := &detect.Confusion{}
	for range n {
		i := r.IntN(len(bins))
		bins[i].Rows++
		came, said := r.Float64() < bins[i].Score, bins[i].Score >= 0.5
		switch {
		case came && said:
			c.TruePositive++
		case said:
			c.FalsePositive++
		case came:
			c.FalseNegative++
		default:
			c.TrueNegative++
		}
		if came {
			bins[i].Positive++
		} else {
			bins[i].Negative++
		}
	}
	s.Performance = &detect.Performance{Scores: bins, Confusion: c}
	return s
}

// spreads are deviations from the median of a standard normal reference, which
// the window that follows uses too.
func spreads() draw {
	var centre float64
	reference := true
	return func(r *rand.Rand, n int) (s detect.Side) {
		x := make([]float64, n)
		for i := range x {
			x[i] = r.NormFloat64()
		}
		if reference {
			sorted := slices.Sorted(slices.Values(x))
			centre = (sorted[(n-1)/2] + sorted[n/2]) / 2
		}
		reference = !reference
		s.Deviations = exact.NewMoments(2)
		for _, v := range x {
			s.Deviations.Add(math.Abs(v - centre))
		}
		return s
	}
}

// species draws from 200 categories with Zipf's shares; the cells are those that
// the reference has seen.
func species() draw {
	var known []int
	zipf := rand.NewZipf(rand.New(rand.NewPCG(9, 9)), 1.3, 1, 1<<20)
	reference := true
	return func(_ *rand.Rand, n int) (s detect.Side) {
		seen := map[int]uint64{}
		for range n {
			seen[int(zipf.Uint64())]++
		}
		if reference {
			known = known[:0]
			for k := range seen {
				known = append(known, k)
			}
		}
		s.Counts = make([]uint64, len(known))
		left := uint64(n)
		for i, k := range known {
			s.Counts[i] = seen[k]
			left -= seen[k]
		}
		s.Unseen = left
		reference = !reference
		return s
	}
}

func missing(share float64) draw {
	return func(r *rand.Rand, n int) (s detect.Side) {
		s.Counts = []uint64{0}
		for range n {
			if r.Float64() < share {
				s.States.Missing++
			} else {
				s.Counts[0]++
			}
		}
		return s
	}
}

// arrivals come at random, n on average in n seconds.
func arrivals(r *rand.Rand, n int) (s detect.Side) {
	s.Counts = []uint64{0}
	for t := r.ExpFloat64(); t < float64(n); t += r.ExpFloat64() {
		s.Counts[0]++
	}
	s.Seconds, s.Silence = float64(n), r.ExpFloat64()
	return s
}

func errorsOf(r *rand.Rand, n int) (s detect.Side) {
	p := &detect.Performance{Absolute: exact.NewMoments(2), Squared: exact.NewMoments(2)}
	for range n {
		e := r.NormFloat64()
		p.Absolute.Add(math.Abs(e))
		p.Squared.Add(e * e)
	}
	s.Performance = p
	return s
}

// TestRates simulates windows on which nothing has changed, each with a
// reference of its own. low and high are what the rates at 5 % may be, in
// percent, but for four binomial errors.
func TestRates(t *testing.T) {
	if testing.Short() {
		t.Skip("simulations")
	}
	t.Parallel()
	for _, test := range []struct {
		name, what string
		n, m       int
		draw       draw
		low, high  float64
	}{
		{"mean", "normal", 1000, 100, values(2, normal), 4.6, 5.4},
		{"mean", "lognormal", 1000, 100, values(3, lognormal), 6.5, 9},
		{"spread", "normal", 1000, 100, spreads(), 4.7, 5.6},
		{"log_variance", "normal", 1000, 100, values(4, normal), 4.8, 6.2},
		{"variance", "normal", 1000, 100, values(2, normal), 4.7, 5.5},
		{"variance", "lognormal", 1000, 100, values(2, lognormal), 60, 70},
		{"unseen_category", "open", 1000, 500, species(), 3.5, 7},
		{"missing", "5 %", 1000, 100, missing(.05), 3.7, 5.6},
		{"missing", "half a percent", 1000, 100, missing(.005), 1.2, 5},
		{"volume", "at random", 1000, 100, arrivals, 3.8, 5.2},
		{"freshness", "at random", 1000, 100, arrivals, 4.5, 5.5},
		{"accuracy", "", 1000, 100, scores, 3.8, 5.5},
		{"precision", "", 1000, 100, scores, 3.5, 5.8},
		{"recall", "", 1000, 100, scores, 3.5, 5.8},
		{"f1", "", 1000, 100, scores, 4.3, 6.5},
		{"auc", "", 1000, 100, scores, 4.3, 6.5},
		{"cbpe_accuracy", "", 1000, 100, scores, 4.5, 5.6},
		{"calibration", "", 1000, 100, scores, 4.3, 5.7},
		{"mae", "normal", 1000, 100, errorsOf, 4.6, 5.8},
		{"rmse", "normal", 1000, 100, errorsOf, 4.8, 6.8},
	} {
		t.Run(test.name+" "+test.what, func(t *testing.T) {
			t.Parallel()
			d := detect.Find(test.name)
			r := rand.New(rand.NewPCG(4, 4))
			at5, at1 := 0, 0
			for range chartWindows {
				in := detect.Input{Reference: test.draw(r, test.n), Current: test.draw(r, test.m)}
				out := d.Judge(&in)
				require.True(t, out.Sufficient, "%+v", out)
				if out.Alarm {
					at5++
				}
				if out.P <= .01 {
					at1++
				}
			}
			rate := 100 * float64(at5) / chartWindows
			t.Logf("%s %s: %.1f %% at 5, %.1f %% at 1", test.name, test.what, rate, 100*float64(at1)/chartWindows)
			slack := 400 * math.Sqrt(.05*.95/chartWindows)
			require.True(t, test.low-slack <= rate && rate <= test.high+slack, "%.1f %%", rate)
		})
	}
}

// TestChartRates is how often a chart's next point alarms when nothing has
// changed, with limits from as many points as it asks for, in percent.
func TestChartRates(t *testing.T) {
	if testing.Short() {
		t.Skip("simulations")
	}
	t.Parallel()
	const trials = 20_000
	groups := func(r *rand.Rand, n int) (s detect.Side) {
		for range n {
			m := exact.NewMoments(2)
			for range 5 {
				m.Add(r.NormFloat64())
			}
			mean, _ := m.Mean()
			sd, _ := m.StdDev()
			s.Points = append(s.Points, detect.Point{N: 5, Mean: mean, SD: sd})
		}
		return s
	}
	singles := func(r *rand.Rand, n int) (s detect.Side) {
		for range n {
			s.Points = append(s.Points, detect.Point{N: 1, Mean: r.NormFloat64()})
		}
		return s
	}
	counts := func(n uint64, p float64) draw {
		return func(r *rand.Rand, k int) (s detect.Side) {
			for range k {
				w := detect.Point{N: n}
				for range n {
					if r.Float64() < p {
						w.Marked++
					}
				}
				s.Points = append(s.Points, w)
			}
			return s
		}
	}
	for name, test := range map[string]struct {
		chart     string
		points    int
		draw      draw
		low, high float64
	}{
		"means and spreads": {"xbar_s", 25, groups, .6, 1.1},
		"individuals":       {"i_mr", 100, singles, .9, 2}, // 0.4 the value, 0.92 the range
		"shares":            {"p_chart", 100, counts(100, .1), .2, .6},
		"rare shares":       {"p_chart", 100, counts(100, .01), .005, .3},
		"counts":            {"c_chart", 100, counts(100, .1), .1, .6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(5, 5))
			alarms, total := 0, 0
			for total < trials {
				in := detect.Input{Reference: test.draw(r, test.points)}
				for range 20 { // the same limits: an average over references all the same
					in.Current = test.draw(r, 1)
					total++
					if detect.Find(test.chart).Judge(&in).Alarm {
						alarms++
					}
				}
			}
			rate := 100 * float64(alarms) / float64(total)
			t.Logf("%s: %.2f %%", name, rate)
			require.True(t, test.low <= rate && rate <= test.high, "%.2f %%", rate)
		})
	}
}
