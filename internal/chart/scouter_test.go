package chart_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/chart"
)

func scouter(t *testing.T, rule string, zones ...string) chart.ScouterRule {
	t.Helper()
	if len(zones) == 0 {
		zones = chart.ScouterZones()
	}
	r, err := chart.ParseScouterRule(rule, zones)
	require.NoError(t, err)
	return r
}

// alerts writes "1 Consecutive" for {Zone1 Consecutive}.
func alerts(of []chart.ScouterAlert) []string {
	texts := []string{}
	for _, a := range of {
		texts = append(texts, a.Zone+" "+string(a.Kind))
	}
	return texts
}

// mixed is the series of Scouter's own test.
var mixed = []float64{0, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, -2, 2, 0, 0, 3, 3, 3, 4, 0, -4, 3, -3, 3, -3, 3, -3}

func ramp(values ...float64) []float64 { return values }

// TestScouterRule has all vectors of Scouter's own tests and some of ours.
func TestScouterRule(t *testing.T) {
	t.Parallel()
	pairs := []float64{}
	for range 8 {
		pairs = append(pairs, 1, 2)
	}
	tests := map[string]struct {
		rule   string
		zones  []string
		series []float64
		want   []string
	}{
		"consecutive":           {"5 0 0 0 0 0 0 0", nil, ramp(0, 1, 1, 1, 1, 1), []string{"Zone1 Consecutive"}},
		"consecutive, broken":   {"5 0 0 0 0 0 0 0", nil, ramp(0, 1, 1, -1, 1, 1), nil},
		"consecutive, below":    {"5 0 0 0 0 0 0 0", nil, ramp(0, -1, -1, -3, -1, -1), []string{"Zone1 Consecutive"}},
		"alternating":           {"0 5 0 0 0 0 0 0", nil, ramp(0, 1, -1, 1, -1, 1), []string{"Zone1 Alternating"}},
		"alternating, broken":   {"0 5 0 0 0 0 0 0", nil, ramp(0, 1, -1, 1, 0, 1), nil},
		"alternating, repeated": {"0 3 0 0 0 0 0 0", nil, ramp(1, 2, 2, 1), nil},
		"all off":               {"0 0 0 -1 0 0 0 0", nil, mixed, nil},
		"default": {chart.DefaultScouterRule, nil, mixed, []string{
			"Zone1 Consecutive", "Zone3 Alternating", "Zone3 Consecutive", "Zone4 OutOfBounds",
		}},
		"two zones": {chart.DefaultScouterRule, []string{"Zone1", "Zone4"}, mixed, []string{"Zone1 Consecutive", "Zone4 OutOfBounds"}},
		"trend": {chart.DefaultScouterRule, nil, ramp(0, 0, .2, .3, .4, .5, .6, .7, .6, .5, .4, .3, .2, .1, .2, .3, .4, .5, .6, .7),
			[]string{"NotApplicable Trend"}},
		"little":                {chart.DefaultScouterRule, nil, ramp(0, 0, 1, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 1), nil},
		"not whole":             {chart.DefaultScouterRule, nil, ramp(0, 1, 0, 1.1, 0, 0, 2.1, 0, 1, 1, 0, 2.1, 0, 0), nil},
		"out and back":          {chart.DefaultScouterRule, nil, ramp(4, 1, -1, 2, -2, 1, 1, 1, 1, 1, 1, 1, 1, 1), []string{"Zone1 Consecutive", "Zone4 OutOfBounds"}},
		"rising":                {chart.DefaultScouterRule, nil, ramp(-3, -2, -1, 0, 1, 2, 3), []string{"NotApplicable Trend"}},
		"falling":               {chart.DefaultScouterRule, nil, ramp(3, 2, 1, 0, -1, -2, -3), []string{"NotApplicable Trend"}},
		"trend, no zones":       {chart.DefaultScouterRule, []string{"Zone4"}, ramp(-3, -2, -1, 0, 1, 2, 3), []string{"NotApplicable Trend"}},
		"two threes":            {chart.DefaultScouterRule, nil, ramp(3, 3), []string{"Zone3 Consecutive"}},
		"the last is not two":   {chart.DefaultScouterRule, nil, ramp(2, 2, 2, 3), nil},
		"a three among twos":    {chart.DefaultScouterRule, nil, ramp(2, 2, 3, 2), []string{"Zone2 Consecutive"}},
		"ones and twos":         {chart.DefaultScouterRule, nil, pairs, []string{"Zone1 Consecutive"}},
		"ones and twos and one": {chart.DefaultScouterRule, nil, append(pairs[:len(pairs):len(pairs)], 1), []string{"Zone1 Alternating", "Zone1 Consecutive"}},
		"nothing":               {chart.DefaultScouterRule, nil, nil, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := test.want
			if want == nil {
				want = []string{}
			}
			require.Equal(t, want, alerts(scouter(t, test.rule, test.zones...).Check(test.series)))
		})
	}
}

func TestScouterRuleIsRead(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "1 2 3 4 5 6 7", "1 2 3 4 5 6 7 8 9", "1 2 3 4 5 6 7 x", "1  2 3 4 5 6 7 8", "1.0 2 3 4 5 6 7 8"} {
		_, err := chart.ParseScouterRule(bad, nil)
		require.Error(t, err, "%q", bad)
	}
	_, err := chart.ParseScouterRule(chart.DefaultScouterRule, []string{"Zone5"})
	require.Error(t, err)
}

func TestScouterZones(t *testing.T) {
	t.Parallel()
	// scouter-wire/http/profile-get-spc.json
	l := chart.ScouterLimits{Center: 40, OneUCL: 42, OneLCL: 38, TwoUCL: 44, TwoLCL: 36, ThreeUCL: 46, ThreeLCL: 34}
	for v, want := range map[float64]float64{
		47: 4, 33: -4, 45: 3, 44: 3, 43: 2, 42: 2, 41: 1, 40: 0, 39: -1, 38: -2, 37: -2, 36: -3, 35: -3,
		46: 0, 34: 0, // on the outermost lines
	} {
		require.InDelta(t, want, l.Zone(v), 0, "%g", v)
	}
}
