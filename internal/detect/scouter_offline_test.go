package detect_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	winedata "github.com/driftmesh/driftmesh/examples/wine"
	"github.com/driftmesh/driftmesh/internal/chart"
	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// offline is what testdata/scouter_offline.py has of a feature.
type offline struct {
	Edges       []float64
	Proportions []float64
	Limits      []float64
	PSI         map[string]float64
	Means       map[string][]float64
	Zones       map[string][]float64
}

// Scouter's own offline functions on the wine data, with the bins that Scouter
// chose: the index to 1e-9, and of its control chart the limits and means to
// 1e-12 and every zone.
//
// Two differences are meant. Our own profiles put edges on data values where a
// quantile is one and give the six values of quality a bin each, where Scouter has
// ten, six of them empty (sdk/profile); and psi, unlike psi_scouter, has a
// threshold for both sample sizes (ADR 18).
func TestScouterOffline(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/scouter_offline.json")
	require.NoError(t, err)
	var want map[string]offline
	require.NoError(t, json.Unmarshal(text, &want))
	columns, err := winedata.Columns()
	require.NoError(t, err)
	alcohol := columns[slices.IndexFunc(columns, func(c profile.Column) bool { return c.Name == "alcohol" })].Numbers
	require.Len(t, want, len(columns))
	for i := range columns {
		w, ok := want[columns[i].Name]
		require.True(t, ok)
		var reference []float64
		samples := map[string][]float64{}
		for row, v := range columns[i].Numbers {
			if row%2 == 0 {
				reference = append(reference, v)
				continue
			}
			samples["same"] = append(samples["same"], v)
			if alcohol[row] > 11 {
				samples["moved"] = append(samples["moved"], v)
			}
		}
		w.checkIndex(t, columns[i].Name, len(reference), samples)
		w.checkChart(t, columns[i].Name, reference, samples)
	}
}

func (w *offline) checkIndex(t *testing.T, name string, rows int, samples map[string][]float64) {
	t.Helper()
	counts := func(values []float64) []uint64 {
		n := make([]uint64, len(w.Edges)+1)
		for _, v := range values {
			n[slices.IndexFunc(append(slices.Clone(w.Edges), math.Inf(1)), func(edge float64) bool { return v <= edge })]++
		}
		return n
	}
	reference := make([]uint64, len(w.Proportions))
	for i, share := range w.Proportions {
		reference[i] = uint64(math.Round(share * float64(rows)))
	}
	for label, values := range samples {
		got := detect.Find("psi_scouter").Judge(sides(detect.Values, reference, counts(values)))
		require.InDelta(t, w.PSI[label], got.Statistic, 1e-9, "%s %s", name, label)
	}
}

func (w *offline) checkChart(t *testing.T, name string, reference []float64, samples map[string][]float64) {
	t.Helper()
	p, err := profile.New([]profile.Column{{Name: name, Type: profile.Float, Numbers: reference}}, profile.Options{Space: "s", Name: "n"})
	require.NoError(t, err)
	of, size := p.Features[0].Baseline.Scouter, 25 // up to 1,000 rows
	l := chart.ScouterLimits{
		Center: of.Center, Sigma: of.Sigma, OneUCL: of.Center + of.Sigma, OneLCL: of.Center - of.Sigma, TwoUCL: of.Center + 2*of.Sigma, TwoLCL: of.Center - 2*of.Sigma,
		ThreeUCL: of.Center + 3*of.Sigma, ThreeLCL: of.Center - 3*of.Sigma,
	}
	if len(reference) >= 1000 {
		size = 100
	}
	limits := []float64{l.Center, l.OneUCL, l.OneLCL, l.TwoUCL, l.TwoLCL, l.ThreeUCL, l.ThreeLCL}
	require.InDeltaSlice(t, w.Limits, limits, 1e-12, name)
	for label, values := range samples {
		var means, zones []float64
		for chunk := range slices.Chunk(values, size) {
			sum := 0.0
			for _, v := range chunk {
				sum += v
			}
			means = append(means, sum/float64(len(chunk)))
			zones = append(zones, l.Zone(means[len(means)-1]))
		}
		require.InDeltaSlice(t, w.Means[label], means, 1e-12, "%s %s", name, label)
		require.Equal(t, w.Zones[label], zones, "%s %s", name, label)
	}
}
