package detect_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/detect"
)

// golden is a case of what testdata/golden.py computed without driftmesh.
type golden struct {
	Name, Kind         string
	Generate           int
	Reference, Current []uint64
	Unseen             uint64
	Bounds             []float64
	ReferenceInf       [2]uint64 `json:"reference_inf"`
	CurrentInf         [2]uint64 `json:"current_inf"`
	Params             map[string]float64
	Want               struct {
		Statistic float64
		Cells     []float64
		Judged    *float64
		P         *float64
		Threshold *float64
		Method    detect.Method
		Caveats   []string
	}
}

func (g *golden) input() *detect.Input {
	in := &detect.Input{
		Kind:      map[string]detect.Kind{"categories": detect.Categories, "values": detect.Values, "quantiles": detect.Quantiles}[g.Kind],
		Bounds:    g.Bounds,
		Reference: detect.Side{Counts: g.Reference, States: detect.States{NegInf: g.ReferenceInf[0], PosInf: g.ReferenceInf[1]}},
		Current:   detect.Side{Counts: g.Current, Unseen: g.Unseen, States: detect.States{NegInf: g.CurrentInf[0], PosInf: g.CurrentInf[1]}},
		Params:    g.Params, Seed: 7,
	}
	for i := range g.Generate {
		in.Reference.Counts = append(in.Reference.Counts, uint64(i%7*(i%3)+20))
		in.Current.Counts = append(in.Current.Counts, uint64(i%5+20+i%2))
	}
	return in
}

// ofCells are the detectors that look at cells alone: those with a file of their
// own in testdata.
func ofCells() []*detect.Detector {
	return slices.DeleteFunc(slices.Clone(detect.All), func(d *detect.Detector) bool {
		_, err := os.Stat("testdata/" + d.Name + ".json")
		return err != nil
	})
}

// TestEveryDetectorIsHeld: none is in the list that is held to no values from
// elsewhere.
func TestEveryDetectorIsHeld(t *testing.T) {
	t.Parallel()
	held := map[string]bool{"scouter_spc": true, "mean_limits": true} // to Scouter's own, in TestScouterSPC and TestMeanLimits
	for _, d := range ofCells() {
		held[d.Name] = true
	}
	raw, err := os.ReadFile("testdata/golden_charts.json")
	require.NoError(t, err)
	var cases []struct{ Detector string }
	require.NoError(t, json.Unmarshal(raw, &cases))
	for _, c := range cases {
		held[c.Detector] = true
	}
	for _, d := range detect.All {
		require.True(t, held[d.Name], "%s has no golden values", d.Name)
	}
	require.Len(t, held, len(detect.All), "values of a detector that is not in the list")
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, d := range ofCells() {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile("testdata/" + d.Name + ".json")
			require.NoError(t, err, "a detector without golden values is not held to anything")
			var cases []golden
			require.NoError(t, json.Unmarshal(text, &cases))
			require.NotEmpty(t, cases)
			for _, g := range cases {
				holdGolden(t, d, &g)
			}
		})
	}
}

func holdGolden(t *testing.T, d *detect.Detector, g *golden) {
	t.Helper()
	got, want := d.Judge(g.input()), &g.Want
	near := func(what string, got float64, want *float64, tolerance float64) {
		t.Helper()
		if want != nil && math.Abs(got-*want) > tolerance {
			t.Errorf("%s: %s is %.15g, want %.15g: off by %.1e", g.Name, what, got, *want, got-*want)
		}
	}
	near("statistic", got.Statistic, &want.Statistic, 1e-9*math.Abs(want.Statistic))
	for i := range want.Cells {
		near("cell", got.Cells[i], &want.Cells[i], 1e-9*want.Cells[i]+1e-18)
	}
	if want.Judged != nil {
		near("judged", got.Judged, want.Judged, 1e-9*math.Abs(*want.Judged))
	}
	if want.Threshold != nil {
		near("threshold", got.Threshold, want.Threshold, 1e-9*math.Abs(*want.Threshold))
	}
	require.Equal(t, want.P != nil, got.HasP, g.Name)
	require.Equal(t, want.Method, got.Method, g.Name)
	if want.P != nil {
		tolerance := 1e-9 * *want.P
		switch {
		case want.Method == detect.MonteCarlo: // five standard errors of both sides' draws
			tolerance = 5 * math.Sqrt(*want.P*(1-*want.P)/3000+1e-7)
		case d.Name == "ks" && want.Method == detect.Asymptotic: // its error is absolute
			tolerance = 1e-9
		}
		near("p", got.P, want.P, tolerance)
	}
	for _, name := range want.Caveats {
		require.Contains(t, got.Caveats.Names(), name, g.Name)
	}
	require.Equal(t, slices.Contains(want.Caveats, "merged"), slices.Contains(got.Caveats.Names(), "merged"), g.Name)
}
