package detect_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/stat"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// together makes a profile of the reference's rows and counts the sample's, as they
// are made and counted in use.
func together(t testing.TB, reference, current [][]float64) (in detect.Input) {
	t.Helper()
	columns := make([]profile.Column, len(reference[0]))
	for i := range columns {
		columns[i] = profile.Column{Name: fmt.Sprintf("x%02d", i), Type: profile.Float}
		for _, row := range reference {
			columns[i].Numbers = append(columns[i].Numbers, row[i])
		}
	}
	p, err := profile.New(columns, profile.Options{Space: "s", Name: "n", Monitors: []profile.Monitor{{Name: "m", Detector: profile.PCADetector}}})
	require.NoError(t, err)
	g := &p.Groups[0]
	now := profile.NewProducts(p, g)
	for _, row := range current {
		now.Add(row)
	}
	in.Reference.Rows = &detect.Rows{N: g.Rows, Means: g.Means, Covariances: g.Covariances, Kurtosis: g.Kurtosis}
	means, covariances := now.Moments()
	in.Current.Rows = &detect.Rows{N: now.Rows, Means: means, Covariances: covariances}
	r := g.Residual
	in.Components = &detect.Components{Vectors: g.Components, Number: r.Number, Mean: r.Mean, SD: r.StdDev, Skewness: r.Skewness}
	return in
}

// The features that moved get the blame.
func TestTogetherBlames(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	draw := func(n int, shift, apart float64) (rows [][]float64) {
		for range n {
			common, third := r.NormFloat64(), r.NormFloat64()
			rows = append(rows, []float64{common + .3*r.NormFloat64() + shift, apart*common + .3*r.NormFloat64(), third + .3*r.NormFloat64(), third + .3*r.NormFloat64()})
		}
		return rows
	}
	reference := draw(4000, 0, 1)
	in := together(t, reference, draw(300, .5, 1))
	for _, name := range []string{"hotelling", "pca_reconstruction"} {
		out := judge(t, name, in)
		require.True(t, out.Alarm, "%s %+v", name, out)
		require.Greater(t, out.Cells[0]+out.Cells[1], 2*(out.Cells[2]+out.Cells[3]), "%s %+v", name, out)
		require.InDelta(t, out.Statistic, sum(out.Cells), 1e-9*out.Statistic)
	}
	require.Greater(t, judge(t, "hotelling", in).Cells[0], judge(t, "hotelling", in).Cells[1])

	// Each feature alone as before, and no mean moved: they go apart.
	in = together(t, reference, draw(300, 0, -1))
	require.False(t, judge(t, "hotelling", in).Alarm)
	out := judge(t, "pca_reconstruction", in)
	require.True(t, out.Alarm)
	require.Greater(t, out.Cells[0]+out.Cells[1], 10*(out.Cells[2]+out.Cells[3]))

	in.Components = nil
	require.NotZero(t, judge(t, "pca_reconstruction", in).Caveats&detect.Unsuited)
	in.Reference.Rows.Means[0] = math.NaN()
	require.NotZero(t, judge(t, "hotelling", in).Caveats&detect.Unsuited)
}

func sum(all []float64) (total float64) {
	for _, v := range all {
		total += v
	}
	return total
}

// What follows from others is no feature more, and is missed where it does not any
// longer; a constant is missed where it is another.
func TestTogetherSingular(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	draw := func(n int, off, constant float64) (rows [][]float64) {
		for range n {
			x, y := 100+r.NormFloat64(), r.NormFloat64()
			rows = append(rows, []float64{x, y, x - 3*y + off, constant})
		}
		return rows
	}
	reference := draw(500, 0, 5)
	for _, test := range []struct {
		off, constant float64
		alarm         bool
	}{{0, 5, false}, {.05, 5, true}, {0, 5.001, true}} {
		in := together(t, reference, draw(200, test.off, test.constant))
		for _, name := range []string{"hotelling", "pca_reconstruction"} {
			out := judge(t, name, in)
			sane(t, detect.Find(name), out, name)
			require.Equal(t, test.alarm, out.Alarm, "%s %v: %+v", name, test, out)
			if test.alarm {
				require.Less(t, out.P, 1e-9)
			}
		}
		if !test.alarm {
			require.Zero(t, judge(t, "hotelling", in).Cells[3], "constant")
		}
	}
	constant := together(t, [][]float64{{1, 2}, {1, 2}, {1, 2}}, [][]float64{{1, 2}, {1, 2}})
	constant.Params = map[string]float64{detect.Minimum: 2}
	for _, name := range []string{"hotelling", "pca_reconstruction"} {
		out := judge(t, name, constant)
		require.InDelta(t, 1, out.P, 0)
		require.NotZero(t, out.Caveats&detect.Constant)
	}
}

// Of rows with heavy tails T² varies more than of normal ones: by as much as their
// kurtosis says it has fewer degrees of freedom, and far from normal it says so.
func TestHotellingOfHeavyTails(t *testing.T) {
	t.Parallel()
	const n, m, k = 2000, 50, 2
	in := detect.Input{}
	in.Reference.Rows = &detect.Rows{N: n, Means: []float64{0, 0}, Covariances: []float64{1, 0, 1}}
	in.Current.Rows = &detect.Rows{N: m, Means: []float64{.3, .2}, Covariances: []float64{1, 0, 1}}
	u, v := 1./n, 1./m
	weight := (u*u*u + v*v*v) / (u + v) / (u + v)
	square := (.3*.3 + .2*.2) * (n + m - 2) / (n + m) / (u + v)
	for times, skewed := range map[float64]bool{1: false, 1.25: false, 2: true, 4: true} { // the variance of normal rows
		in.Reference.Rows.Kurtosis = (times - 1) * 2 * k / weight
		out := judge(t, "hotelling", in)
		require.InEpsilon(t, square, out.Statistic, 1e-12)
		scale := (n + m - k - 1.) / k / (n + m - 2)
		require.InEpsilon(t, stat.F(square*scale, k/times, n+m-k-1), out.P, 1e-9, "%v", times)
		require.InEpsilon(t, .05, stat.F(out.Threshold*scale, k/times, n+m-k-1), 1e-6)
		require.Equal(t, skewed, out.Caveats&detect.Skewed != 0, "%v", times)
	}
	in.Reference.Rows.Kurtosis = -4 // tails lighter than normal ones are taken for normal
	require.InEpsilon(t, stat.F(square*(n+m-k-1.)/k/(n+m-2), k, n+m-k-1), judge(t, "hotelling", in).P, 1e-9)
}

// TestFalseAlarmsTogether simulates windows on which nothing has changed, each with a
// reference of its own, through profile and products, and prints the rates at 5 and
// 1 % for 50, 500 and 2,000 rows.
func TestFalseAlarmsTogether(t *testing.T) {
	if testing.Short() {
		t.Skip("simulations")
	}
	t.Parallel()
	windows, _ := windows(t)
	names := []string{"hotelling", "pca_reconstruction"}
	kinds := []struct {
		name      string
		low, high float64
		of        func(r *rand.Rand, common []float64) float64
	}{
		{"normal", 4, 6, func(r *rand.Rand, common []float64) float64 { return common[0] + r.NormFloat64() }},
		{"lognormal", 1, 7, func(r *rand.Rand, common []float64) float64 { return math.Exp(.7*common[0] + .5*r.NormFloat64()) }},
		{"ties", 4, 6.5, func(r *rand.Rand, common []float64) float64 {
			return math.Floor(2 * math.Exp(.5*common[0]+.3*r.NormFloat64()))
		}},
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(4, 4))
			draw := func(n int) [][]float64 {
				rows := make([][]float64, n)
				for i := range rows {
					common := []float64{r.NormFloat64(), r.NormFloat64()}
					for k := range 6 {
						rows[i] = append(rows[i], kind.of(r, common[k%2:]))
					}
				}
				return rows
			}
			sizes := []int{2000, 20_000}
			if os.Getenv("CALIBRATE") == "" {
				sizes = sizes[:1]
			}
			for _, n := range sizes {
				lines := map[string][]string{}
				for _, m := range []int{50, 500, 2000} {
					found := map[string][2]int{}
					for range windows {
						in := together(t, draw(n), draw(m))
						for _, name := range names {
							out := judge(t, name, in)
							require.True(t, out.Sufficient)
							require.Equal(t, out.Alarm, out.P <= .05)
							require.Equal(t, out.Alarm, out.Judged > out.Threshold)
							one := map[bool]int{true: 1}
							found[name] = [2]int{found[name][0] + one[out.Alarm], found[name][1] + one[out.P <= .01]}
						}
					}
					for _, name := range names {
						at5, at1 := 100*float64(found[name][0])/float64(windows), 100*float64(found[name][1])/float64(windows)
						lines[name] = append(lines[name], fmt.Sprintf("%.1f/%.1f", at5, at1))
						slack := 400 * math.Sqrt(.05*.95/float64(windows))
						require.True(t, kind.low-slack <= at5 && at5 <= kind.high+slack, "%s %s N %d M %d: %.1f %%", name, kind.name, n, m, at5)
					}
				}
				for _, name := range names {
					t.Logf("%s, %s, N = %d: %s;", name, kind.name, n, strings.Join(lines[name], "; "))
				}
			}
		})
	}
}

// Of normal rows the residual is a weighted sum of χ², and Pearson's curve is close to
// it: as close as its three moments are known.
func TestResidualOfNormalRows(t *testing.T) {
	t.Parallel()
	const m = 6
	r := rand.New(rand.NewPCG(6, 6))
	var reference [][]float64
	for range 200_000 {
		x, y := r.NormFloat64(), r.NormFloat64()
		reference = append(reference, []float64{x + r.NormFloat64(), x + r.NormFloat64(), y + .5*r.NormFloat64(), y + .5*r.NormFloat64(), r.NormFloat64()})
	}
	in := together(t, reference, reference[:m])
	in.Params = map[string]float64{detect.Minimum: 2}
	c := in.Components
	n := len(in.Reference.Rows.Means)
	left := mat.NewSymDense(n, nil) // the covariance beside the components
	at := 0
	for i := range n {
		for j := i; j < n; j++ {
			left.SetSym(i, j, in.Reference.Rows.Covariances[at])
			at++
		}
	}
	for _, v := range c.Vectors {
		column := mat.NewVecDense(n, v)
		left.SymRankOne(left, -mat.Inner(column, left, column), column)
	}
	var eigen mat.EigenSym
	require.True(t, eigen.Factorize(left, false))
	var weights []float64
	for _, l := range eigen.Values(nil)[1:] {
		for range map[bool]int{true: m}[l > 1e-3] {
			weights = append(weights, l/m)
		}
	}
	require.Greater(t, len(weights), 2*m)
	for _, times := range []float64{.4, .6, 1.5, 2, 2.5} {
		in.Current.Rows.Means = make([]float64, n)
		for i := range in.Current.Rows.Covariances {
			in.Current.Rows.Covariances[i] = in.Reference.Rows.Covariances[i] * times
		}
		out := judge(t, "pca_reconstruction", in)
		upper := stat.Imhof(out.Statistic, weights)
		require.InEpsilon(t, 2*min(upper, 1-upper), out.P, .15, "%v: %+v", times, out)
	}
}
