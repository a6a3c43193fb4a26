package score_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

func TestReport(t *testing.T) {
	t.Parallel()
	p, err := profile.New([]profile.Column{
		{Name: "x", Type: profile.Float, Numbers: []float64{1, 2, 3, 4}},
		{Name: "c", Type: profile.String, Texts: []string{"a", "b", "a", "b"}},
	}, profile.Options{Space: "s", Name: "n", Binning: profile.Binning{Rule: profile.Manual, Bins: 3}, Alert: profile.Alert{MinSample: 1}})
	require.NoError(t, err)
	s, err := score.Feature(p, 0, []uint64{6, 1, 1, 5, 4, 3, 2, 1})
	require.NoError(t, err)
	r := s.Report(p, [][]score.Exemplar{{{Record: "r1", Trace: "t1"}, {Record: "r2"}}, {{Record: "r3", Trace: "t3"}}, {{Record: "r4", Trace: "t4"}, {Record: "r1", Trace: "t1"}}})
	require.Equal(t, []string{"(-inf, 2]", "(2, 3]", "(3, +inf)"}, []string{r.Bins[0].Label, r.Bins[1].Label, r.Bins[2].Label})
	require.InDelta(t, 0.5, r.Bins[0].Expected, 0)
	require.InDelta(t, 0.75, r.Bins[0].Observed, 0)
	require.Equal(t, [profile.Specials]uint64{5, 4, 3, 2, 1}, r.Special)
	require.Equal(t, []string{"t1", "t3", "t4"}, r.Traces(5), "the bin with more than its share comes first")
	require.Equal(t, []string{"t1"}, r.Traces(1))
	s, err = score.Feature(p, 1, []uint64{1, 1, 0, 0, 0, 0, 0})
	require.NoError(t, err)
	require.Equal(t, "b", s.Report(p, nil).Bins[1].Label)
}
