package score //nolint:testpackage // calibration and moments are not to be seen outside

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// scikit-learn 1.9: IsotonicRegression().fit(bin, share, sample_weight=rows), the
// bins without rows left out.
func TestCalibrated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		positives, negatives []uint64
		want                 []float64
	}{
		{[]uint64{1, 2, 3}, []uint64{9, 8, 7}, []float64{0.1, 0.2, 0.3}},
		{[]uint64{5, 1, 8}, []uint64{5, 9, 2}, []float64{0.3, 0.3, 0.8}},
		{[]uint64{0, 3, 1, 4, 40}, []uint64{10, 7, 9, 16, 0}, []float64{0, 0.2, 0.2, 0.2, 1}},
		{[]uint64{0, 0, 5, 0}, []uint64{0, 5, 0, 0}, []float64{0, 0, 1, 1}},
		{[]uint64{0, 0}, []uint64{0, 0}, []float64{0, 0}},
		{nil, nil, []float64{}},
	} {
		require.InDeltaSlice(t, c.want, calibrated(c.positives, c.negatives), 1e-15, "%v %v", c.positives, c.negatives)
	}
}

func TestMomentsLike(t *testing.T) {
	t.Parallel()
	for _, s := range []profile.Spread{{Number: 1000, Mean: 3, StdDev: 2}, {Number: 7, Mean: -1e9, StdDev: 1}, {Number: 2, StdDev: 1e-9}} {
		m := momentsLike(s)
		require.Equal(t, s.Number, m.N())
		mean, err := m.Mean()
		require.NoError(t, err)
		require.InDelta(t, s.Mean, mean, 1e-9)
		variance, err := m.Variance()
		require.NoError(t, err)
		require.InEpsilon(t, s.StdDev*s.StdDev, variance*float64(s.Number-1)/float64(s.Number), 1e-6)
	}
	require.EqualValues(t, 1, momentsLike(profile.Spread{Number: 1, Mean: 4}).N())
}
