package score_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

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
	scores, err := score.Evaluate(p, all, 1)
	require.NoError(t, err)
	require.Equal(t, i, scores[i].Feature)
	return scores[i]
}

func TestWineEqualsPython(t *testing.T) {
	t.Parallel()
	columns, want := wine(t)
	alcohol := columns[10].Numbers
	p, err := profile.New(part(columns, func(row int) bool { return row%2 == 0 }), profile.Options{Space: "s", Name: "wine"})
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
			require.InDeltaSlice(t, w.Samples[label].Contributions, got.Contributions, 1e-9)

			random.Shuffle(len(values), func(a, b int) { values[a], values[b] = values[b], values[a] })
			again := feature(t, p, i, count(f, values))
			require.Equal(t, got.P, again.P, "the order of the values must not change a digit")
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
	equal := func(n uint64) []uint64 { return []uint64{n, n, n, n, n, n, n, n, n, n, 0, 0, 0, 0, 0} }
	moved := func(n uint64) []uint64 { return []uint64{n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} }
	special := equal(0)
	for i := 10; i < 15; i++ {
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
		{"ten for each bin is not more than that", profile.Monitor{}, moved(100), score.Insufficient, 100},
		{"own minimum reached", profile.Monitor{MinSample: 50}, moved(50), score.Drift, 50},
		{"own minimum missed", profile.Monitor{MinSample: 50}, moved(49), score.Insufficient, 49},
		{"nothing", profile.Monitor{MinSample: 1}, equal(0), score.Insufficient, 0},
		{"only special values", profile.Monitor{}, special, score.Insufficient, 0},
		{"alpha 0 never alerts", profile.Monitor{Threshold: profile.Significant(0)}, moved(1000), score.OK, 1000},
		{"equal to the threshold is no drift", profile.Monitor{Threshold: profile.Above(0)}, equal(20), score.OK, 200},
		{"a fixed threshold below", profile.Monitor{Threshold: profile.Above(exact)}, moved(200), score.Drift, 200},
		{"within the deviations of chunks", profile.Monitor{Threshold: profile.Beyond(300, chunks)}, moved(200), score.OK, 200},
		{"beyond them", profile.Monitor{Threshold: profile.Beyond(3, chunks)}, moved(200), score.Drift, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := feature(t, deciles(t, c.monitor), 0, c.counts)
			require.Equal(t, c.want, got.Verdict)
			require.Equal(t, c.sample, got.Sample)
			require.Equal(t, c.sample == 0, math.IsNaN(got.Value))
			require.EqualValues(t, 1000, got.Reference)
			sum := 0.0
			for _, part := range got.Contributions {
				require.GreaterOrEqual(t, part, 0.0)
				sum += part
			}
			if c.sample > 0 {
				require.InDelta(t, sum, got.Value, 0)
				require.Equal(t, c.want == score.Drift, got.Verdict != score.Insufficient && got.Value > got.Threshold)
			}
		})
	}
}

func TestOneBinNeverDrifts(t *testing.T) {
	t.Parallel()
	c := profile.Column{Name: "c", Type: profile.Bool}
	for range 10 {
		c.Texts = append(c.Texts, "true")
	}
	p, err := profile.New([]profile.Column{c}, profile.Options{Space: "s", Name: "n"})
	require.NoError(t, err)
	got := feature(t, p, 0, []uint64{1000, 5, 0, 0, 0, 7})
	require.Equal(t, score.OK, got.Verdict)
	require.Zero(t, got.Value)
	require.InDelta(t, 1, got.P, 0)
}

func TestForeignCountsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := score.Evaluate(deciles(t, profile.Monitor{}), [][]uint64{{1, 2, 3}}, 1)
	require.ErrorIs(t, err, fault.Internal)
}

func TestUnknownDetectorsAreNamed(t *testing.T) {
	t.Parallel()
	p := deciles(t, profile.Monitor{})
	require.Empty(t, score.Check(p))
	p.Monitors = append(p.Monitors,
		profile.Monitor{Name: "a", Detector: "telepathy"},
		profile.Monitor{Name: "b", Detector: "psi", Parameters: map[string]float64{"mood": 1}})
	require.Equal(t, []string{
		"monitor a: there is no detector telepathy, but psi",
		"monitor b: detector psi has no parameter mood; it has none",
	}, score.Check(p))
}
