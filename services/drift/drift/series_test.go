package drift_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/services/drift/internal/drifttest"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// Series are what one gets by going through all scores one by one, whatever part
// of them is asked for and in how many points.
func TestSeries(t *testing.T) {
	const tenant, uid, other = "acme", "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11", "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d12"
	cells := store.NewCells(drifttest.Tables(t))
	r := rand.New(rand.NewPCG(1, 2))
	begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var all []*store.Evaluation
	for i := range 200 {
		e := &store.Evaluation{
			Tenant: tenant, Profile: uid, Trigger: store.TriggerSchedule, Slot: begin.Add(time.Duration(i) * 37 * time.Minute), Evaluated: begin.Add(time.Hour),
			Start: begin, End: begin.Add(time.Hour), Records: 5,
		}
		for _, monitor := range []string{"psi", "ks"} {
			for feature := range 3 {
				s := score.Score{
					Monitor: monitor, Detector: monitor, Feature: feature, Sample: r.Uint64N(100), Value: r.Float64(), Threshold: r.Float64(), Lower: math.NaN(),
					Verdict: []score.Verdict{score.OK, score.OK, score.OK, score.Drift, score.Insufficient}[r.IntN(5)],
				}
				if r.IntN(3) == 0 {
					s.Value, s.Threshold, s.Verdict = math.NaN(), math.Inf(1), score.Insufficient
				}
				e.Scores = append(e.Scores, s)
			}
		}
		all = append(all, e)
		require.NoError(t, cells.WriteScores(t.Context(), e))
		// The same again, before: what is newer counts. And what is not asked for.
		old := *e
		old.Scores, old.Evaluated = slices.Clone(e.Scores), e.Evaluated.Add(-time.Minute)
		old.Scores[0].Value = 1000
		apart := old
		apart.Tenant = "rival"
		later := old
		later.Trigger = store.TriggerClose
		strange := old
		strange.Profile = other
		for _, x := range []*store.Evaluation{&old, &apart, &later, &strange} {
			if i%20 == 0 {
				require.NoError(t, cells.WriteScores(t.Context(), x))
			}
		}
	}
	end := all[len(all)-1].Slot
	for _, q := range []store.SeriesQuery{
		{Feature: -1, Start: begin, End: end.Add(1000), Points: 7},
		{Feature: -1, Start: begin, End: end, Points: 1000},
		{Feature: 1, Monitor: "ks", Start: begin.Add(time.Hour), End: end.Add(-time.Hour), Points: 10},
		{Feature: 0, Start: begin.Add(-time.Hour), End: begin.Add(30 * time.Hour), Points: 1},
		{Feature: 5, Start: begin, End: end, Points: 10},
	} {
		q.Tenant, q.Profile, q.Trigger = tenant, uid, store.TriggerSchedule
		got, err := cells.QuerySeries(t.Context(), q)
		require.NoError(t, err)
		want := bySlots(all, q)
		require.Len(t, got, len(want))
		for i := range got {
			require.InDelta(t, want[i].Mean, got[i].Mean, 1e-12)
			want[i].Mean, got[i].Mean = 0, 0
			require.Equal(t, fmt.Sprint(want[i]), fmt.Sprint(got[i]), "point %d of %+v", i, q)
		}
	}
}

// bySlots computes series from evaluations.
func bySlots(all []*store.Evaluation, q store.SeriesQuery) (points []store.SeriesPoint) {
	span := q.End.Sub(q.Start).Microseconds()
	width := (span + int64(q.Points) - 1) / int64(q.Points)
	type key struct {
		monitor string
		feature int
		part    int64
	}
	parts := map[key][]*score.Score{}
	slots := map[key][]time.Time{}
	var keys []key
	for _, e := range all {
		if e.Slot.Before(q.Start) || !e.Slot.Before(q.End) {
			continue
		}
		for i := range e.Scores {
			s := &e.Scores[i]
			if q.Monitor != "" && s.Monitor != q.Monitor || q.Feature >= 0 && s.Feature != q.Feature {
				continue
			}
			k := key{s.Monitor, s.Feature, e.Slot.Sub(q.Start).Microseconds() / width}
			if parts[k] == nil {
				keys = append(keys, k)
			}
			parts[k], slots[k] = append(parts[k], s), append(slots[k], e.Slot)
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.monitor, b.monitor), cmp.Compare(a.feature, b.feature), cmp.Compare(a.part, b.part))
	})
	for _, k := range keys {
		last := parts[k][len(parts[k])-1]
		p := store.SeriesPoint{
			Monitor: k.monitor, Detector: k.monitor, Feature: k.feature, First: slots[k][0], Last: slots[k][len(slots[k])-1], Slots: uint64(len(slots[k])),
			Min: math.NaN(), Mean: math.NaN(), Max: math.NaN(), Threshold: last.Threshold, Lower: last.Lower,
		}
		sum, n := 0.0, 0.0
		for _, s := range parts[k] {
			p.Sample += s.Sample
			switch s.Verdict {
			case score.Drift:
				p.Drifted++
			case score.Insufficient:
				p.Insufficient++
			case score.OK:
			}
			if math.IsNaN(s.Value) {
				continue
			}
			sum, n = sum+s.Value, n+1
			if n == 1 {
				p.Min, p.Max = s.Value, s.Value
			}
			p.Min, p.Max = min(p.Min, s.Value), max(p.Max, s.Value)
		}
		p.Mean = sum / n
		points = append(points, p)
	}
	return points
}

// The series of a profile, over the service: of all monitors and features in the
// profile's order, or of one, and never too many points.
func TestQuerySeries(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	made := wineProfile(t)
	made.Monitors = []*driftv1.Monitor{{Name: "second", Detector: "psi"}, {Name: "first", Detector: "ks"}}
	p := create(t, r, "acme", made)
	cells := store.NewCells(m.db)
	for i := range 48 {
		slot := noon.Add(time.Duration(i-48) * time.Hour)
		e := &store.Evaluation{Tenant: "acme", Profile: p.GetUid(), Trigger: store.TriggerSchedule, Slot: slot, Start: slot.Add(-time.Hour), End: slot, Evaluated: slot}
		for _, monitor := range []string{"first", "second"} {
			for feature := range 2 {
				e.Scores = append(e.Scores, score.Score{
					Monitor: monitor, Detector: "psi", Feature: feature, Value: float64(i), Threshold: 40, Lower: math.NaN(), Sample: 10, Verdict: score.OK,
				})
			}
		}
		if i > 40 {
			e.Scores[0].Verdict = score.Drift
		}
		require.NoError(t, cells.WriteScores(t.Context(), e))
	}
	ask := func(change func(*driftv1.QuerySeriesRequest)) ([]*driftv1.Series, error) {
		req := &driftv1.QuerySeriesRequest{Profile: p.GetUid()}
		change(req)
		resp, err := r.QuerySeries(as(t, "acme"), req)
		return resp.GetSeries(), err
	}
	all, err := ask(func(*driftv1.QuerySeriesRequest) {})
	require.NoError(t, err)
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.GetMonitor() + " " + s.GetFeature()
	}
	first, second := p.GetFeatures()[0].GetName(), p.GetFeatures()[1].GetName()
	require.Equal(t, []string{"second " + first, "second " + second, "first " + first, "first " + second}, names)
	one, err := ask(func(q *driftv1.QuerySeriesRequest) {
		q.Monitor, q.Feature, q.Points = "first", first, 4
		q.StartTime, q.EndTime = timestamppb.New(noon.Add(-48*time.Hour)), timestamppb.New(noon)
	})
	require.NoError(t, err)
	require.Len(t, one, 1)
	require.Len(t, one[0].GetPoints(), 4)
	last := one[0].GetPoints()[3]
	require.Equal(t, [3]float64{36, 41.5, 47}, [3]float64{last.GetMin(), last.GetMean(), last.GetMax()})
	require.Equal(t, driftv1.Verdict_VERDICT_DRIFT, last.GetVerdict())
	require.Equal(t, [4]uint32{12, 7, 0, 120}, [4]uint32{last.GetSlots(), last.GetDrifted(), last.GetInsufficient(), uint32(last.GetSample())})
	require.InDelta(t, 40, last.GetThreshold(), 0)
	require.Nil(t, last.LowerThreshold)
	require.Equal(t, noon.Add(-12*time.Hour), last.GetFirstSlot().AsTime())
	require.Equal(t, driftv1.Verdict_VERDICT_OK, one[0].GetPoints()[0].GetVerdict())

	for _, wrong := range []func(*driftv1.QuerySeriesRequest){
		func(q *driftv1.QuerySeriesRequest) { q.Monitor = "third" },
		func(q *driftv1.QuerySeriesRequest) { q.Feature = "third" },
	} {
		_, err := ask(wrong)
		require.ErrorIs(t, err, fault.NotFound)
	}
	for _, wrong := range []func(*driftv1.QuerySeriesRequest){
		func(q *driftv1.QuerySeriesRequest) { q.Trigger = "whim" },
		func(q *driftv1.QuerySeriesRequest) { q.StartTime = timestamppb.New(noon.Add(time.Hour)) },
		func(q *driftv1.QuerySeriesRequest) { q.EndTime = &timestamppb.Timestamp{Nanos: -1} },
	} {
		_, err := ask(wrong)
		require.ErrorIs(t, err, fault.Invalid)
	}
	_, err = r.QuerySeries(as(t, "rival"), &driftv1.QuerySeriesRequest{Profile: p.GetUid()})
	require.ErrorIs(t, err, fault.NotFound)
}
