package score_test

import (
	"encoding/json"
	"slices"
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
	}, profile.Options{
		Space: "s", Name: "n", Binning: profile.Binning{Rule: profile.Manual, Bins: 3},
		Monitors: []profile.Monitor{{Name: "m", Detector: "psi", MinSample: 1, Threshold: profile.Above(0)}},
	})
	require.NoError(t, err)
	s := feature(t, p, 0, []uint64{6, 1, 1, 5, 4, 0, 0, 0, 0})
	r := s.Report(p, [][]score.Exemplar{
		{{Record: "r1", Trace: "t1"}, {Record: "r2"}}, {{Record: "r3", Trace: "t3"}}, {{Record: "r4", Trace: "t4"}, {Record: "r1", Trace: "t1"}},
	})
	require.Equal(t, "m", r.Monitor)
	require.Equal(t, []string{"(-inf, 2]", "(2, 3]", "(3, +inf)"}, []string{r.Bins[0].Label, r.Bins[1].Label, r.Bins[2].Label})
	require.InDelta(t, 0.5, r.Bins[0].Expected, 0)
	require.InDelta(t, 0.75, r.Bins[0].Observed, 0)
	for i, want := range []score.Bin{
		{Label: "missing", Count: 5}, {Label: "nan", Count: 4}, {Label: "+inf"}, {Label: "-inf"}, {Label: "other"}, {Label: "wrong_type"},
	} {
		want.Observed = float64(want.Count) / 17
		require.Equal(t, want, r.States[i])
	}
	require.Equal(t, []string{"t1", "t3", "t4"}, score.Traces([]score.Report{r}, 5), "the bin with more than its share comes first")
	require.Equal(t, []string{"t1"}, score.Traces([]score.Report{r}, 1))
	other := score.Report{States: []score.Bin{{Observed: 1, Exemplars: []score.Exemplar{{Trace: "t9"}, {Trace: "t1"}}}}}
	require.Equal(t, []string{"t1", "t9", "t3", "t4"}, score.Traces([]score.Report{r, other}, 5), "each in turn")
	s = feature(t, p, 1, []uint64{1, 1, 0, 0, 0, 0, 0, 0})
	r = s.Report(p, nil)
	require.Equal(t, "b", r.Bins[1].Label)
	_, err = json.Marshal(r)
	require.NoError(t, err)
	empty := feature(t, p, 1, make([]uint64, 8))
	r = empty.Report(p, nil)
	require.Nil(t, r.Value)
	require.Nil(t, r.P)
	_, err = json.Marshal(r)
	require.NoError(t, err, "nothing that JSON cannot say")
}

func TestTrimKeepsWhatAddsMost(t *testing.T) {
	t.Parallel()
	r := score.Report{Bins: []score.Bin{{Label: "a", Contribution: 2}, {Label: "b", Contribution: 1}, {Label: "c", Contribution: 3}}}
	r.Trim(3)
	require.Len(t, r.Bins, 3)
	r.Trim(2)
	require.Equal(t, []score.Bin{{Label: "a", Contribution: 2}, {Label: "c", Contribution: 3}}, r.Bins)
}

func TestWorse(t *testing.T) {
	t.Parallel()
	of := func(name string, p, value, threshold float64) score.Report {
		return score.Report{Feature: name, P: &p, Value: &value, Threshold: &threshold}
	}
	fixed := func(name string, value, threshold float64) score.Report {
		return score.Report{Feature: name, Value: &value, Threshold: &threshold}
	}
	for _, list := range [][]score.Report{
		{of("a", 1e-9, 1, 1), of("b", 0, 2, 1), of("c", 0, 3, 1)},
		{fixed("a", 1, 0.5), fixed("b", 4, 1), fixed("c", 5, 1)},
	} {
		slices.SortStableFunc(list, func(a, b score.Report) int { return score.Worse(&a, &b) })
		require.Equal(t, []string{"c", "b", "a"}, []string{list[0].Feature, list[1].Feature, list[2].Feature})
	}
}
