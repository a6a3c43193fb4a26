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
			got, err := score.Feature(p, i, count(f, values))
			require.NoError(t, err)
			require.Equal(t, w.Samples[label].Counts, got.Counts[:len(f.Bins)])
			require.InDelta(t, w.Samples[label].PSI, got.Value, 1e-9, "%s %s", f.Name, label)
			require.InDeltaSlice(t, w.Samples[label].Contributions, got.Contributions, 1e-9)

			random.Shuffle(len(values), func(a, b int) { values[a], values[b] = values[b], values[a] })
			again, err := score.Feature(p, i, count(f, values))
			require.NoError(t, err)
			require.Equal(t, got, again, "the order of the values must not change a digit")
		}
	}
}

// deciles is a profile of one feature with ten equal bins.
func deciles(t *testing.T, alert profile.Alert) *profile.Profile {
	t.Helper()
	c := profile.Column{Name: "x", Type: profile.Float}
	for i := range 1000 {
		c.Numbers = append(c.Numbers, float64(i))
	}
	p, err := profile.New([]profile.Column{c}, profile.Options{Space: "s", Name: "n", Alert: alert})
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
	exact := math.Nextafter(0, 1)
	for _, c := range []struct {
		name   string
		alert  profile.Alert
		counts []uint64
		want   score.Verdict
		sample uint64
	}{
		{"same", profile.Alert{}, equal(20), score.OK, 200},
		{"moved", profile.Alert{}, moved(101), score.Drift, 101},
		{"ten for each bin is not more than that", profile.Alert{}, moved(100), score.Insufficient, 100},
		{"own minimum reached", profile.Alert{MinSample: 50}, moved(50), score.Drift, 50},
		{"own minimum missed", profile.Alert{MinSample: 50}, moved(49), score.Insufficient, 49},
		{"nothing", profile.Alert{MinSample: 1}, equal(0), score.Insufficient, 0},
		{"only special values", profile.Alert{}, special, score.Insufficient, 0},
		{"alpha 0 never alerts", profile.Alert{Threshold: profile.Threshold{Limit: profile.ChiSquare}}, moved(1000), score.OK, 1000},
		{"equal to the threshold is no drift", profile.Alert{Threshold: profile.Threshold{Limit: profile.Fixed, Value: 0}}, equal(20), score.OK, 200},
		{"a fixed threshold below", profile.Alert{Threshold: profile.Threshold{Limit: profile.Fixed, Value: exact}}, moved(200), score.Drift, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := deciles(t, c.alert)
			got, err := score.Feature(p, 0, c.counts)
			require.NoError(t, err)
			require.Equal(t, c.want, got.Verdict)
			require.Equal(t, c.sample, got.Sample)
			require.False(t, math.IsNaN(got.Value))
			sum := 0.0
			for _, part := range got.Contributions {
				require.GreaterOrEqual(t, part, 0.0)
				sum += part
			}
			require.InDelta(t, sum, got.Value, 0)
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
	got, err := score.Feature(p, 0, []uint64{1000, 5, 0, 0, 0, 7})
	require.NoError(t, err)
	require.Equal(t, score.OK, got.Verdict)
	require.Zero(t, got.Value)
	require.Zero(t, got.Threshold)
}

func TestForeignCountsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := score.Feature(deciles(t, profile.Alert{}), 0, []uint64{1, 2, 3})
	require.ErrorIs(t, err, fault.Internal)
}
