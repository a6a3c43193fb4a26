package detect_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/internal/exact"
)

// The rows are Scouter's own for custom metrics: mse of 12.02 with a delta of 1, and
// accuracy of 0.75.
func TestMeanLimits(t *testing.T) {
	t.Parallel()
	high, low := map[string]float64{"high": 12.02 + 1}, map[string]float64{"low": 0.75}
	both := map[string]float64{"low": 5, "high": 5}
	for _, row := range []struct {
		limits map[string]float64
		values []float64
		alarm  bool
	}{
		{high, []float64{13, 15}, true}, {high, []float64{12, 13}, false}, {high, []float64{13.02}, false},
		{high, []float64{math.Nextafter(13.02, 14)}, true},
		{low, []float64{0.65}, true}, {low, []float64{0.76}, false}, {low, []float64{0.75}, false},
		{both, []float64{5}, false}, {both, []float64{math.Nextafter(5, 0)}, true}, {both, []float64{6}, true},
		{nil, []float64{-1e300, 1e300}, false},
	} {
		in := &detect.Input{Kind: detect.Values, Params: row.limits}
		in.Reference.Counts, in.Current.Counts = []uint64{0}, []uint64{uint64(len(row.values))}
		in.Current.Moments = exact.Of(2, row.values...)
		r := detect.Find("mean_limits").Judge(in)
		require.True(t, r.Sufficient, row)
		require.Equal(t, row.alarm, r.Alarm, row)
	}
	empty := &detect.Input{Kind: detect.Values, Reference: detect.Side{Counts: []uint64{0}}, Current: detect.Side{Counts: []uint64{0}}}
	require.False(t, detect.Find("mean_limits").Judge(empty).Sufficient)
	empty.Current.Moments = exact.Of(2)
	require.False(t, detect.Find("mean_limits").Judge(empty).Sufficient)
}
