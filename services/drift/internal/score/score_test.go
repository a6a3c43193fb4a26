package score_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/exact"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// golden is what testdata/wine.py computed without driftmesh.
type golden map[string]struct {
	Edges     []float64
	Reference []uint64
	Samples   map[string]struct {
		Counts        []uint64
		Contributions []float64
		PSI           float64
	}
}

func wine(t *testing.T) ([]profile.Column, golden) {
	t.Helper()
	file, err := os.Open("../../../../examples/wine/winequality-red.csv")
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	columns, err := profile.ReadCSV(file, profile.CSVOptions{})
	require.NoError(t, err)
	text, err := os.ReadFile("testdata/wine.json")
	require.NoError(t, err)
	var want golden
	require.NoError(t, json.Unmarshal(text, &want))
	return columns, want
}

// part keeps the rows of every column that the function chooses.
func part(columns []profile.Column, keep func(row int) bool) []profile.Column {
	out := make([]profile.Column, len(columns))
	for i, c := range columns {
		out[i] = profile.Column{Name: c.Name, Type: c.Type}
		for row, v := range c.Numbers {
			if keep(row) {
				out[i].Numbers = append(out[i].Numbers, v)
			}
		}
	}
	return out
}

func count(f *profile.Feature, values []float64) []uint64 {
	counts := make([]uint64, f.Cells())
	for _, v := range values {
		counts[f.NumberCell(v)]++
	}
	return counts
}

// feature judges one feature of p by its first monitor.
func feature(t *testing.T, p *profile.Profile, i int, counts []uint64) score.Score {
	t.Helper()
	all := make([][]uint64, len(p.Features))
	for k := range all {
		all[k] = make([]uint64, p.Features[k].Cells())
	}
	all[i] = counts
	scores, err := score.Evaluate(p, score.Sample{Counts: all}, 1)
	require.NoError(t, err)
	require.Equal(t, i, scores[i].Feature)
	return scores[i]
}

func TestWineEqualsPython(t *testing.T) {
	t.Parallel()
	columns, want := wine(t)
	alcohol := columns[10].Numbers
	p, err := profile.New(part(columns, func(row int) bool { return row%2 == 0 }), profile.Options{
		Space: "s", Name: "wine", Monitors: []profile.Monitor{{Name: "m", Detector: "psi_scouter", Threshold: profile.Above(0.1)}},
	})
	require.NoError(t, err)
	samples := map[string][]profile.Column{
		"same":  part(columns, func(row int) bool { return row%2 == 1 }),
		"moved": part(columns, func(row int) bool { return row%2 == 1 && alcohol[row] > 11 }),
	}
	require.Len(t, want, len(p.Features))
	random := rand.New(rand.NewPCG(1, 1))
	for i := range p.Features {
		f := &p.Features[i]
		w := want[f.Name]
		require.InDeltaSlice(t, w.Edges, f.Edges(), 1e-12, f.Name)
		for k, b := range f.Bins {
			require.Equal(t, w.Reference[k], b.Count, "%s bin %d", f.Name, b.ID)
		}
		for label, sample := range samples {
			values := sample[i].Numbers
			got := feature(t, p, i, count(f, values))
			require.Equal(t, w.Samples[label].Counts, got.Counts[:len(f.Bins)])
			require.InDelta(t, w.Samples[label].PSI, got.Value, 1e-9, "%s %s", f.Name, label)
			require.InDeltaSlice(t, w.Samples[label].Contributions, got.Contributions[:len(f.Bins)], 1e-9)

			random.Shuffle(len(values), func(a, b int) { values[a], values[b] = values[b], values[a] })
			again := feature(t, p, i, count(f, values))
			require.InDelta(t, got.Value, again.Value, 0, "the order of the values must not change a digit")
			require.Equal(t, got.Contributions, again.Contributions)
		}
	}
}

// deciles is a profile of one feature with ten equal bins.
func deciles(t *testing.T, m profile.Monitor) *profile.Profile {
	t.Helper()
	c := profile.Column{Name: "x", Type: profile.Float}
	for i := range 1000 {
		c.Numbers = append(c.Numbers, float64(i))
	}
	m.Name, m.Detector = "m", "psi"
	p, err := profile.New([]profile.Column{c}, profile.Options{Space: "s", Name: "n", Monitors: []profile.Monitor{m}})
	require.NoError(t, err)
	return p
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	equal := func(n uint64) []uint64 { return []uint64{n, n, n, n, n, n, n, n, n, n, 0, 0, 0, 0, 0, 0} }
	moved := func(n uint64) []uint64 { return []uint64{n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} }
	special := equal(0)
	for i := 10; i < 14; i++ {
		special[i] = 1000
	}
	chunks := map[string]profile.Chunks{"x": profile.ChunksOf([]float64{0.1, 0.2, 0.3})}
	exact := math.Nextafter(0, 1)
	for _, c := range []struct {
		name    string
		monitor profile.Monitor
		counts  []uint64
		want    score.Verdict
		sample  uint64
	}{
		{"same", profile.Monitor{}, equal(20), score.OK, 200},
		{"moved", profile.Monitor{}, moved(101), score.Drift, 101},
		{"the detector's own minimum reached", profile.Monitor{}, moved(30), score.Drift, 30},
		{"the detector's own minimum missed", profile.Monitor{}, moved(29), score.Insufficient, 29},
		{"against a value, ten for each bin is not more than that", profile.Monitor{Threshold: profile.Above(0.1)}, moved(100), score.Insufficient, 100},
		{"against a value", profile.Monitor{Threshold: profile.Above(0.1)}, moved(101), score.Drift, 101},
		{"own minimum reached", profile.Monitor{MinSample: 50}, moved(50), score.Drift, 50},
		{"own minimum missed", profile.Monitor{MinSample: 50}, moved(49), score.Insufficient, 49},
		{"nothing", profile.Monitor{MinSample: 1}, equal(0), score.Insufficient, 0},
		{"infinite values are in the end bins, missing ones in none", profile.Monitor{}, special, score.Drift, 2000},
		{"alpha 0 never alerts", profile.Monitor{Threshold: profile.Significant(0)}, moved(1000), score.OK, 1000},
		{"equal to the threshold is no drift", profile.Monitor{Threshold: profile.Above(0)}, equal(20), score.OK, 200},
		{"a fixed threshold below", profile.Monitor{Threshold: profile.Above(exact)}, moved(200), score.Drift, 200},
		{"within the deviations of chunks", profile.Monitor{Threshold: profile.Beyond(300, chunks)}, moved(200), score.OK, 200},
		{"beyond them", profile.Monitor{Threshold: profile.Beyond(3, chunks)}, moved(200), score.Drift, 200},
		{"and below", profile.Monitor{Threshold: profile.Beyond(1, chunks)}, equal(20), score.Drift, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := feature(t, deciles(t, c.monitor), 0, c.counts)
			require.Equal(t, c.want, got.Verdict)
			require.Equal(t, c.sample, got.Sample)
			require.Equal(t, c.sample == 0, math.IsNaN(got.Value))
			if c.sample > 0 {
				require.EqualValues(t, 1000, got.Reference)
				sum := 0.0
				for _, part := range got.Contributions {
					sum += part
				}
				require.InDelta(t, sum, got.Value, 1e-12)
			}
		})
	}
}

// 95 % of a sample that the reference has never seen are no "ok", and neither are
// values that are missing, for a monitor that looks at them.
func TestUnseenCategoriesCount(t *testing.T) {
	t.Parallel()
	c := profile.Column{Name: "c", Type: profile.String}
	for i := range 1000 {
		c.Texts = append(c.Texts, []string{"a", "b", "c"}[i%3])
	}
	p, err := profile.New([]profile.Column{c}, profile.Options{Space: "s", Name: "n"})
	require.NoError(t, err)
	got := feature(t, p, 0, []uint64{17, 17, 16, 0, 0, 0, 0, 950, 0})
	require.Equal(t, score.Drift, got.Verdict)
	require.EqualValues(t, 1000, got.Sample)
	require.Greater(t, got.Contributions[7], 5*got.Contributions[0], "it is the unseen ones that count")
	r := got.Report(p, nil)
	require.InDelta(t, 0.95, r.States[profile.Other].Observed, 1e-12)
	got = feature(t, p, 0, []uint64{334, 333, 333, 0, 0, 0, 0, 0, 0})
	require.Equal(t, score.OK, got.Verdict)
}

// The monitors in the README are ones that a profile may have.
func TestTheReadmesMonitors(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../../README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```\n(\\[\\{\"name\".*?\\])\n```").FindSubmatch(text)
	require.NotNil(t, block)
	monitors, err := profile.ParseMonitors(block[1])
	require.NoError(t, err)
	p, err := profile.New([]profile.Column{
		{Name: "age", Type: profile.Int, Numbers: sequence(100)}, {Name: "plan", Type: profile.Bool, Texts: slices.Repeat([]string{"true"}, 100)},
	}, profile.Options{Space: "ml", Name: "churn", Monitors: monitors})
	require.NoError(t, err)
	require.Empty(t, score.Check(p))
}

// Halves of one data set are no drift, but for about the one in twenty that the
// significance says; and where a budget says how often, not even that.
func TestRandomHalvesOfTheWine(t *testing.T) {
	t.Parallel()
	columns, _ := wine(t)
	random := rand.New(rand.NewPCG(1, 5))
	const runs = 40
	alerts := map[string]int{}
	for range runs {
		first := make([]bool, columns[0].Len())
		for i, k := range random.Perm(len(first)) {
			first[k] = i%2 == 0
		}
		p, err := profile.New(part(columns, func(row int) bool { return first[row] }), profile.Options{
			Space: "s", Name: "wine", Categories: []string{"quality"}, Monitors: []profile.Monitor{
				{Name: "psi", Detector: "psi"}, {Name: "monthly", Detector: "psi", Threshold: profile.AtMost(1, 30)},
			},
		})
		require.NoError(t, err)
		counts := make([][]uint64, len(p.Features))
		for i, c := range part(columns, func(row int) bool { return !first[row] }) {
			f := &p.Features[i]
			counts[i] = make([]uint64, f.Cells())
			for _, v := range c.Numbers {
				if f.Kind == profile.Category {
					counts[i][f.CategoryCell(strconv.Itoa(int(v)))]++
				} else {
					counts[i][f.NumberCell(v)]++
				}
			}
		}
		scores, err := score.Evaluate(p, score.Sample{Counts: counts}, 24)
		require.NoError(t, err)
		found := map[string]bool{}
		for i := range scores {
			found[scores[i].Monitor] = found[scores[i].Monitor] || scores[i].Verdict == score.Drift
		}
		for monitor, drift := range found {
			if drift {
				alerts[monitor]++
			}
		}
	}
	t.Logf("alerts in %d runs: %v", runs, alerts)
	require.LessOrEqual(t, alerts["psi"], 6, "0.05 of 40 and three standard errors")
	require.Zero(t, alerts["monthly"])
}

// A monitor of all features leaves out those that its detector cannot judge; one
// that was asked for by name is insufficient, and says why.
func TestUnsuitedFeatures(t *testing.T) {
	t.Parallel()
	p, err := profile.New([]profile.Column{
		{Name: "x", Type: profile.Float, Numbers: sequence(100)},
		{Name: "c", Type: profile.String, Texts: slices.Repeat([]string{"a", "b"}, 50)},
	}, profile.Options{Space: "s", Name: "n", Monitors: []profile.Monitor{
		{Name: "all", Detector: "ks"}, {Name: "named", Detector: "ks", Features: []string{"c"}},
	}})
	require.NoError(t, err)
	scores, err := score.Evaluate(p, score.Sample{Counts: [][]uint64{{10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 0, 0, 0, 0, 0, 0}, {50, 50, 0, 0, 0, 0, 0, 0}}}, 1)
	require.NoError(t, err)
	require.Len(t, scores, 2)
	require.Equal(t, []any{"all", 0, score.OK}, []any{scores[0].Monitor, scores[0].Feature, scores[0].Verdict})
	require.Equal(t, []any{"named", 1, score.Insufficient}, []any{scores[1].Monitor, scores[1].Feature, scores[1].Verdict})
	require.Equal(t, []string{"unsuited"}, scores[1].Caveats)
}

// The state of the data is a monitor like any other.
func TestDataQuality(t *testing.T) {
	t.Parallel()
	x := profile.Column{Name: "x", Type: profile.Float, Numbers: sequence(1000), Missing: make([]bool, 1000)}
	for i := range 10 {
		x.Missing[i] = true
	}
	p, err := profile.New([]profile.Column{
		x, {Name: "c", Type: profile.String, Texts: slices.Repeat([]string{"a", "b"}, 500)},
	}, profile.Options{Space: "s", Name: "n", Monitors: []profile.Monitor{
		{Name: "missing", Detector: "missing"}, {Name: "nan", Detector: "nan"}, {Name: "unseen", Detector: "unseen_category"},
		{Name: "constant", Detector: "constant"}, {Name: "silent", Detector: "no_data", Features: []string{"x"}},
	}})
	require.NoError(t, err)
	moved := func(counts ...[]uint64) (names []string) {
		scores, err := score.Evaluate(p, score.Sample{Counts: counts}, 1)
		require.NoError(t, err)
		for i := range scores {
			if scores[i].Verdict == score.Drift {
				names = append(names, scores[i].Monitor+" "+p.Features[scores[i].Feature].Name)
			}
		}
		return names
	}
	good := []uint64{10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 1, 0, 0, 0, 0, 0}
	require.Empty(t, moved(good, []uint64{50, 51, 0, 0, 0, 0, 0, 0}))
	require.Equal(t, []string{"missing x", "unseen c"},
		moved([]uint64{10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 30, 0, 0, 0, 0, 0}, []uint64{50, 45, 0, 0, 0, 0, 5, 0}))
	require.Equal(t, []string{"silent x"}, moved(make([]uint64, 16), make([]uint64, 8)))
	require.Equal(t, []string{"nan x", "constant c"},
		moved([]uint64{10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 1, 9, 0, 0, 0, 0}, []uint64{100, 0, 0, 0, 0, 0, 0, 0}))
}

// Every detector can be a monitor of every kind of feature, whatever was counted:
// no crash, and no NaN in a report.
func TestAllDetectorsJudgeWhatever(t *testing.T) {
	t.Parallel()
	judged := map[string]bool{}
	for _, o := range []*profile.Outcome{
		nil, {Target: "c", Prediction: "one", Score: "x", Positive: "a"}, {Target: "constant", Prediction: "x"},
	} {
		for _, threshold := range []profile.Threshold{{}, profile.Above(1)} {
			p := everything(t, o, threshold)
			for i := range p.Monitors {
				judged[p.Monitors[i].Detector] = true
			}
			for _, n := range []uint64{0, 1, 40, 1 << 20, 1 << 55, 1 << 60, math.MaxUint64} {
				judgeWhatever(t, p, n, false)
				judgeWhatever(t, p, n, true)
			}
		}
	}
	require.Len(t, judged, len(score.Detectors()))
}

// everything is a profile with a monitor of every detector that can judge it.
func everything(t *testing.T, o *profile.Outcome, threshold profile.Threshold) *profile.Profile {
	t.Helper()
	var together []profile.Monitor
	if o == nil || o.Target != "constant" { // or there is one number alone
		together = []profile.Monitor{{Name: "together", Detector: profile.PCADetector}}
	}
	p, err := profile.New([]profile.Column{
		{Name: "x", Type: profile.Float, Numbers: append(sequence(96), math.NaN(), math.Inf(1), math.Inf(-1), 5)},
		{Name: "constant", Type: profile.Int, Numbers: make([]float64, 100)},
		{Name: "c", Type: profile.String, Texts: slices.Repeat([]string{"a", "b"}, 50)},
		{Name: "one", Type: profile.Bool, Texts: slices.Repeat([]string{"true"}, 100)},
	}, profile.Options{Space: "s", Name: "n", Outcome: o, ReferenceSpan: time.Hour, Monitors: together})
	require.NoError(t, err)
	var monitors []profile.Monitor
	for _, d := range score.Detectors() {
		p.Monitors = []profile.Monitor{{Name: d.Name, Detector: d.Name, Threshold: threshold}}
		if p.FillDefaults(); len(score.Check(p)) == 0 {
			monitors = append(monitors, p.Monitors...)
		}
	}
	p.Monitors = monitors
	require.NoError(t, p.Validate())
	return p
}

// judgeWhatever counts n of everything, or only of the last state.
func judgeWhatever(t *testing.T, p *profile.Profile, n uint64, only bool) {
	t.Helper()
	sample := score.Sample{Counts: make([][]uint64, len(p.Features))}
	for i := range sample.Counts {
		sample.Counts[i] = make([]uint64, p.Features[i].Cells())
		for k := range sample.Counts[i] {
			if !only || k == len(sample.Counts[i])-1 {
				sample.Counts[i][k] = n
			}
		}
	}
	if p.Outcome != nil && !only {
		sample.Outcomes = &score.Outcomes{
			Right: n, Wrong: n, TruePositive: n, FalsePositive: n, FalseNegative: n, TrueNegative: n,
			Positives: slices.Repeat([]uint64{n}, 10), Negatives: slices.Repeat([]uint64{n}, 10),
			Absolute: exact.Of(2, 1, 1e300, 5e-324), Squared: exact.Of(2, 0, math.MaxFloat64, math.MaxFloat64),
		}
	}
	for i := range p.Groups {
		products := profile.NewProducts(p, &p.Groups[i])
		for k := range products.Sums {
			products.Sums[k] = profile.Int128{Low: n, High: int64(n >> 1)}
		}
		products.Rows, products.Incomplete = n, n
		sample.Groups = append(sample.Groups, products)
	}
	scores, err := score.Evaluate(p, sample, 24)
	require.NoError(t, err)
	require.NotEmpty(t, scores)
	for i := range scores {
		r := scores[i].Report(p, nil)
		_, err := json.Marshal(r)
		require.NoError(t, err)
		if n == 0 && r.Detector != "no_data" && r.Detector != "mae" && r.Detector != "rmse" {
			require.Equal(t, score.Insufficient, r.Verdict, "%s %s", r.Monitor, r.Feature)
		}
		if r.Verdict != score.Insufficient && r.P != nil && r.Threshold != nil && r.Adjusted != nil {
			require.Equal(t, *r.Adjusted <= 0.05, r.Verdict == score.Drift)
		}
	}
}

func sequence(n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(i)
	}
	return values
}

func TestOneBinNeverDrifts(t *testing.T) {
	t.Parallel()
	c := profile.Column{Name: "c", Type: profile.Bool, Texts: slices.Repeat([]string{"true"}, 100)}
	p, err := profile.New([]profile.Column{c}, profile.Options{Space: "s", Name: "n"})
	require.NoError(t, err)
	got := feature(t, p, 0, []uint64{1000, 5, 0, 0, 0, 0, 0})
	require.Equal(t, score.OK, got.Verdict)
	require.Zero(t, got.Value)
	require.InDelta(t, 1, got.P, 0)
	require.Contains(t, got.Caveats, "constant")
}

func TestForeignCountsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := score.Evaluate(deciles(t, profile.Monitor{}), score.Sample{Counts: [][]uint64{{1, 2, 3}}}, 1)
	require.ErrorIs(t, err, fault.Internal)
}

func TestUnknownDetectorsAreNamed(t *testing.T) {
	t.Parallel()
	p := deciles(t, profile.Monitor{})
	require.Empty(t, score.Check(p))
	p.Monitors = append(p.Monitors,
		profile.Monitor{Name: "a", Detector: "telepathy"},
		profile.Monitor{Name: "b", Detector: "psi", Parameters: map[string]float64{"mood": 1, "replicates": 1, "alpha": 0.1}},
		profile.Monitor{Name: "c", Detector: "psi", Parameters: map[string]float64{"replicates": 9999}})
	problems := score.Check(p)
	require.Len(t, problems, 4)
	require.Contains(t, problems[0], "monitor a: there is no detector telepathy, but psi, psi_scouter")
	require.Contains(t, problems[1], "monitor b: detector psi has no parameter alpha, but replicates", "it is the threshold's")
	require.Contains(t, problems[2], "detector psi has no parameter mood")
	require.Contains(t, problems[3], "parameter replicates of psi is 1, not from 99 to 1e+06")
}
