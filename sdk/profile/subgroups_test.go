package profile_test

import (
	"math"
	"testing"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Limits of Scouter's own profiles (scouter-wire 0.24), of rows in their order.
func TestScouterLimits(t *testing.T) {
	t.Parallel()
	rows := func(n int, of func(i int) float64) []float64 {
		all := make([]float64, n)
		for i := range all {
			all[i] = of(i)
		}
		return all
	}
	ascending := func(i int) float64 { return float64(i + 1) }
	limits := func(of profile.ValueType, values []float64) *profile.ScouterLimits {
		p, err := profile.New([]profile.Column{{Name: "x", Type: of, Numbers: values}}, profile.Options{Space: "s", Name: "n"})
		if err != nil {
			t.Fatal(err)
		}
		return p.Features[0].Baseline.Scouter
	}
	for name, c := range map[string]struct {
		values []float64
		center float64
		upper  float64 // three sigmas above
	}{
		"two chunks":                       {rows(50, ascending), 25.5, 47.80939595223173},
		"a shorter one counts as much":     {rows(60, ascending), 35.5, 53.43211901533989},
		"one of one row is left out":       {rows(51, ascending), 25.5, 47.80939595223173},
		"a hundred rows each, of thousand": {rows(1000, func(i int) float64 { return float64(i % 100) }), 49.5, 136.75426001029928},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := limits(profile.Float, c.values)
			if l.Center != c.center || math.Abs(l.Center+3*l.Sigma-c.upper) > 1e-13*c.upper {
				t.Errorf("centre %v, upper limit %v, want %v and %v", l.Center, l.Center+3*l.Sigma, c.center, c.upper)
			}
		})
	}
	if l := limits(profile.Float, []float64{1}); l != nil {
		t.Errorf("limits of one row: %v", l)
	}
	// All but float64 is held in 32 bits.
	wide, narrow := limits(profile.Float, []float64{1, 2, 4}), limits(profile.Int, []float64{1, 2, 4})
	if wide.Sigma == narrow.Sigma || math.Abs(wide.Sigma-narrow.Sigma) > 1e-6 {
		t.Errorf("sigma %v in 64 bits and %v in 32", wide.Sigma, narrow.Sigma)
	}
}
