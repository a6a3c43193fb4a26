package detect_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/detect"
)

// Vectors of Scouter's own tests, and of its formulas by another script.
func TestScouterVectors(t *testing.T) {
	t.Parallel()
	d := detect.Find("psi_scouter")
	for _, c := range []struct {
		name                string
		reference, current  []uint64
		index, chi2, normal float64
	}{
		{"three cells", []uint64{3000, 4000, 3000}, []uint64{100, 200, 200}, 0.069314718, 0.011982929, 0.010579415},
		{"one of two empty", []uint64{50, 50}, []uint64{0, 100}, 11.512925465, 0.03841458821, 0.033261743},
		{"ten cells", []uint64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []uint64{5, 5, 5, 5, 5, 15, 15, 15, 15, 15}, 0.274653072, 0.169189776, 0.159785229},
		{"one of ten empty", []uint64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []uint64{0, 10, 10, 10, 10, 10, 10, 10, 10, 20}, 2.141641302, 0.169189776, 0.159785229},
	} {
		in := sides(detect.Categories, c.reference, c.current)
		got := d.Judge(in)
		require.InDelta(t, c.index, got.Statistic, 1e-9, c.name)
		require.InDelta(t, c.chi2, got.Threshold, 1e-9, c.name)
		in.Params = map[string]float64{"normal": 1}
		require.InDelta(t, c.normal, d.Judge(in).Threshold, 1e-9, c.name)
		in.Current.Unseen = 50
		require.InDelta(t, c.index, d.Judge(in).Statistic, 1e-9, "unseen rows do not count")
	}
}
