package drift_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
	"github.com/driftmesh/driftmesh/services/drift/drift"
	"github.com/driftmesh/driftmesh/services/drift/internal/drifttest"
)

// pairs are rows of four numbers, the second of which goes with the first, or against
// it where they are turned; each by itself is what it was.
func pairs(seed uint64, n int, turned bool) (rows [][]float64) {
	r := rand.New(rand.NewPCG(seed, 3))
	for range n {
		common, other := r.NormFloat64(), r.NormFloat64()
		sign := map[bool]float64{true: -1, false: 1}[turned]
		rows = append(rows, []float64{50 + common + .2*r.NormFloat64(), sign*common + .2*r.NormFloat64(), other + .2*r.NormFloat64(), 1e6 * (other + .2*r.NormFloat64())})
	}
	return rows
}

// paired is a profile of such rows, whose monitors judge them together.
func paired(t testing.TB, name string, monitors ...profile.Monitor) *profile.Profile {
	t.Helper()
	columns := []profile.Column{{Name: "size"}, {Name: "weight"}, {Name: "depth"}, {Name: "pressure"}}
	for i := range columns {
		columns[i].Type = profile.Float
	}
	for _, row := range pairs(1, 3000, false) {
		for i := range columns {
			columns[i].Numbers = append(columns[i].Numbers, row[i])
		}
	}
	p, err := profile.New(columns, profile.Options{Space: "s", Name: name, Monitors: monitors, Schedule: profile.Schedule{Cron: "0 * * * *"}})
	require.NoError(t, err)
	return p
}

func jointly() []profile.Monitor {
	return []profile.Monitor{
		{Name: "means", Detector: profile.HotellingDetector, Threshold: profile.Significant(.001)},
		{Name: "shape", Detector: profile.PCADetector, Threshold: profile.Significant(.001)},
		{Name: "two", Detector: profile.HotellingDetector, Features: []string{"pressure", "depth"}, Threshold: profile.Significant(.001)},
		{Name: "each", Detector: "ks", Threshold: profile.Significant(.001)},
	}
}

// recordsOf are records of rows, over so many minutes, in any order. Every tenth lacks
// a value when some are to be incomplete.
func recordsOf(prefix string, first int64, minutes int, rows [][]float64, holes bool) (records []drifttest.Record) {
	r := rand.New(rand.NewPCG(9, 9))
	for i, row := range rows {
		one := drifttest.Record{ID: fmt.Sprintf("%s-%d", prefix, i), Minute: first + int64(i%minutes), Hash: r.Uint64(), Numbers: row, Trace: true}
		if holes && i%10 == 0 {
			one.Missing = []bool{false, i%20 == 0, false, i%20 != 0}
		}
		records = append(records, one)
	}
	return records
}

// Whatever the order, the repetition and the parting of records, features that are
// judged together get the same digits, which are those of one pass over the rows.
func TestTogetherSameDigits(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	first := noon.Unix()/60 - 100
	rows := pairs(2, 600, true)
	p := paired(t, "paired", jointly()...)
	var want []*driftv1.Score
	for run := range 3 {
		copied := *p
		copied.Name = fmt.Sprint("paired", run)
		uid := create(t, r, "acme", wire.Message(&copied)).GetUid()
		records := recordsOf(fmt.Sprint(run), first, 1+run*4, rows, true)
		rand.New(rand.NewPCG(uint64(run), 1)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		for part := range slices.Chunk(append(records, records[:200]...), 150+100*run) {
			m.store("acme", uid, part)
		}
		resp, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: uid, StartTime: atMinute(first), EndTime: timestamppb.New(noon)})
		require.NoError(t, err)
		scores := resp.GetEvaluation().GetScores()[:3]
		for _, s := range scores {
			for _, b := range s.GetBins() {
				b.Exemplars = nil
			}
		}
		if want == nil {
			want = scores
		}
		for i := range want {
			require.True(t, proto.Equal(want[i], scores[i]), "%v\n%v", want[i], scores[i])
		}
	}
	groups := []*profile.Products{profile.NewProducts(p, &p.Groups[0]), profile.NewProducts(p, &p.Groups[1])}
	counts := make([][]uint64, len(p.Features))
	for i := range counts {
		counts[i] = make([]uint64, p.Features[i].Cells())
	}
	for i, row := range rows {
		if i%10 != 0 || i%20 == 0 { // of the group of two, the fourth was missing in those
			groups[1].Add(row[2:])
		} else {
			groups[1].Incomplete++
		}
		if i%10 != 0 {
			groups[0].Add(row)
		} else {
			groups[0].Incomplete++
		}
	}
	offline, err := drift.Judge(p, drift.Sample{Counts: counts, Groups: groups, Records: 600})
	require.NoError(t, err)
	for i, s := range offline.GetScores()[:3] {
		require.Equal(t, s.GetValue(), want[i].GetValue())   //nolint:testifylint // the same digits
		require.Equal(t, s.GetPValue(), want[i].GetPValue()) //nolint:testifylint // the same digits
	}
	require.EqualValues(t, 540, want[0].GetSample())
	require.EqualValues(t, 60, want[0].GetStates()[0].GetCount())
	require.EqualValues(t, 570, want[2].GetSample())
}

// What no feature shows by itself is found: two that went together go apart. The alert
// says which, and leads to records. A profile that is not registered would have found
// it as well.
func TestTogetherRaises(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	message := wire.Message(paired(t, "paired", slices.Concat(jointly()[1:2], jointly()[3:])...))
	message.Active = true
	uid := create(t, r, "acme", message).GetUid()
	plain := wire.Message(paired(t, "plain", profile.Monitor{Name: "each", Detector: "psi"}))
	other := create(t, r, "acme", plain).GetUid()
	for hour := 1; hour <= 3; hour++ {
		records := recordsOf(fmt.Sprint("h", hour), minuteIn(hour), 20, pairs(uint64(10+hour), 400, hour == 2), false)
		m.store("acme", uid, records)
		m.store("acme", other, records)
		m.pass(r, uid, hour)
	}
	alerts := r.alerts("acme", false)
	require.Len(t, alerts, 1)
	a := alerts[0]
	require.Equal(t, "shape", a.GetMonitor())
	require.NotNil(t, a.GetResolveTime())
	require.Len(t, a.GetMoved(), 1)
	s := a.GetMoved()[0]
	require.Equal(t, "size, weight and 2 more", s.GetFeature())
	require.EqualValues(t, 400, s.GetSample())
	require.Greater(t, s.GetBins()[0].GetContribution()+s.GetBins()[1].GetContribution(), 10*(s.GetBins()[2].GetContribution()+s.GetBins()[3].GetContribution()))
	require.Equal(t, "weight", s.GetBins()[1].GetLabel())
	require.InDelta(t, .25, s.GetBins()[1].GetExpected(), .1)
	require.Greater(t, s.GetBins()[1].GetObserved(), .4)
	require.NotEmpty(t, a.GetExemplarTraceIds())

	series, err := r.QuerySeries(as(t, "acme"), &driftv1.QuerySeriesRequest{Profile: uid, Monitor: "shape", Feature: s.GetFeature(), StartTime: timestamppb.New(noon), EndTime: timestamppb.New(slotOf(4))})
	require.NoError(t, err)
	require.Len(t, series.GetSeries(), 1)
	require.Len(t, series.GetSeries()[0].GetPoints(), 3)

	explained, err := r.Explain(as(t, "acme"), &driftv1.ExplainRequest{Alert: a.GetId()})
	require.NoError(t, err)
	require.Contains(t, []string{"size", "weight"}, explained.GetFeature(), "of several together, the one that has most of it")

	for _, req := range []*driftv1.BacktestRequest{{Profile: uid}, {Profile: other, Candidate: message}} {
		req.StartTime, req.EndTime = timestamppb.New(noon), timestamppb.New(slotOf(3))
		b, err := r.backtest(req)
		require.NoError(t, err)
		require.Equal(t, []string{"14 shape raised", "15 shape resolved"}, b.changes)
	}
}

// A window that a worker of an older release counted lacks its products: it is counted
// again, and where its records are gone the verdict says that it is not known.
func TestTogetherOfOlderCells(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	uid := create(t, r, "acme", wire.Message(paired(t, "paired", jointly()...))).GetUid()
	first := noon.Unix()/60 - 100
	m.store("acme", uid, recordsOf("r", first, 10, pairs(4, 400, true), false))
	fresh := r.evaluated(uid, first, 10)
	require.Equal(t, driftv1.Verdict_VERDICT_DRIFT, fresh["shape"].GetVerdict())
	forget := func() {
		require.NoError(t, m.db.Exec(t.Context(), `ALTER TABLE cells UPDATE Measured = 1 WHERE 1 SETTINGS mutations_sync = 1`))
		require.NoError(t, m.db.Exec(t.Context(), `TRUNCATE TABLE product_cells`))
	}
	forget()
	again := r.evaluated(uid, first, 10)
	require.InDelta(t, fresh["shape"].GetValue(), again["shape"].GetValue(), 0)
	forget()
	require.NoError(t, m.db.Exec(t.Context(), "TRUNCATE TABLE observations"))
	gone := r.evaluated(uid, first, 10)
	require.Equal(t, driftv1.Verdict_VERDICT_INSUFFICIENT, gone["shape"].GetVerdict())
	require.Contains(t, gone["shape"].GetCaveats(), "unmeasured")
	empty := r.evaluated(uid, first-1000, 10)
	require.Equal(t, driftv1.Verdict_VERDICT_INSUFFICIENT, empty["means"].GetVerdict())
	require.NotContains(t, empty["means"].GetCaveats(), "unmeasured")
}
