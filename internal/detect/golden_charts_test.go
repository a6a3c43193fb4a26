package detect_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/exact"
)

// goldenSide is raw data of a side, as testdata/golden_charts.py writes it.
type goldenSide struct {
	Values           []float64         `json:"values"`
	Rows             [][]float64       `json:"rows"`
	Errors           []float64         `json:"errors"`
	Points           [][4]float64      `json:"points"`
	Scores           [][3]float64      `json:"scores"`
	Confusion        []uint64          `json:"confusion"`
	Counts           []uint64          `json:"counts"`
	Unseen           uint64            `json:"unseen"`
	States           map[string]uint64 `json:"states"`
	Duplicates       uint64            `json:"duplicates"`
	Seconds, Silence float64
}

func (g *goldenSide) side(centre float64) detect.Side {
	s := detect.Side{Counts: g.Counts, Unseen: g.Unseen, States: detect.States{
		Missing: g.States["missing"], NaN: g.States["nan"], WrongType: g.States["wrong_type"], PosInf: g.States["infinite"],
		Above: g.States["out_of_range"],
	}}
	s.Duplicates, s.Seconds, s.Silence = g.Duplicates, g.Seconds, g.Silence
	if g.Values != nil {
		s.Moments, s.Deviations = exact.Of(4, g.Values...), exact.NewMoments(3)
		for _, x := range g.Values {
			s.Deviations.Add(math.Abs(x - centre))
		}
	}
	for _, p := range g.Points {
		s.Points = append(s.Points, detect.Point{N: uint64(p[0]), Mean: p[1], SD: p[2], Marked: uint64(p[3])})
	}
	p := &detect.Performance{}
	if g.Errors != nil {
		p.Absolute, p.Squared = exact.NewMoments(2), exact.NewMoments(2)
		for _, e := range g.Errors {
			p.Absolute.Add(math.Abs(e))
			p.Squared.Add(e * e)
		}
	}
	for _, b := range g.Scores {
		p.Scores = append(p.Scores, detect.ScoreBin{Score: b[0], Positive: uint64(b[1]), Negative: uint64(b[2]), Rows: uint64(b[1] + b[2])})
	}
	if g.Confusion != nil {
		p.Confusion = &detect.Confusion{
			TruePositive: g.Confusion[0], FalsePositive: g.Confusion[1], FalseNegative: g.Confusion[2], TrueNegative: g.Confusion[3],
		}
	}
	s.Performance = p
	return s
}

// TestGoldenCharts holds detectors against numpy, SciPy, statsmodels and
// scikit-learn on the raw data.
func TestGoldenCharts(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/golden_charts.json")
	require.NoError(t, err)
	var cases []struct {
		Detector           string
		Reference, Current goldenSide
		Params             map[string]float64
		Want               map[string]float64
		Centre, Tolerance  float64
		Categories         bool
	}
	require.NoError(t, json.Unmarshal(raw, &cases))
	require.Greater(t, len(cases), 80)
	for i, c := range cases {
		in := detect.Input{Kind: detect.Values, Reference: c.Reference.side(c.Centre), Current: c.Current.side(c.Centre), Params: c.Params}
		if c.Categories {
			in.Kind = detect.Categories
		}
		if c.Reference.Rows != nil {
			in = together(t, c.Reference.Rows, c.Current.Rows)
			in.Params = c.Params
		}
		d := detect.Find(c.Detector)
		require.NotNil(t, d, c.Detector)
		r := d.Judge(&in)
		tolerance := c.Tolerance
		if tolerance == 0 {
			tolerance = 1e-9
		}
		for name, want := range c.Want {
			got := map[string]float64{"statistic": r.Statistic, "judged": r.Judged, "p": r.P, "threshold": r.Threshold}[name]
			require.InDelta(t, want, got, tolerance*math.Abs(want)+1e-15*map[bool]float64{true: 1}[name != "p"], "case %d: %s of %s %+v", i, name, c.Detector, r)
		}
	}
}
