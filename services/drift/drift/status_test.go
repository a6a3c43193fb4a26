package drift_test

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// statuses goes through all pages of so many.
func (r *running) statuses(ctx context.Context, req *driftv1.ListProfileStatusesRequest) (all []*driftv1.ProfileStatus) {
	r.t.Helper()
	req = proto.CloneOf(req)
	for {
		resp, err := r.ListProfileStatuses(ctx, req)
		require.NoError(r.t, err)
		require.LessOrEqual(r.t, len(resp.GetStatuses()), max(int(req.GetPageSize()), 1)*50)
		all = append(all, resp.GetStatuses()...)
		if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
			return all
		}
	}
}

// A status is what one gets by asking for a profile, its newest evaluation and its open
// alerts one by one; of active profiles only, and of one's own.
func TestProfileStatusesAreWhatOneByOneGives(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := create(t, r, "acme", wineProfile(t)).GetUid()
	young := create(t, r, "acme", active(small()))
	rest := small()
	rest.Name = "rest"
	create(t, r, "acme", rest)
	foreign := create(t, r, "globex", wineProfile(t)).GetUid()
	for hour, keep := range []func(float64) bool{all, strong} {
		m.store("acme", p, wineRecords(t, string(rune('a'+hour)), minuteIn(hour+1), 20, keep))
		m.pass(r, p, hour+1)
	}
	m.store("globex", foreign, wineRecords(t, "g", minuteIn(2), 20, all))

	found := r.statuses(as(t, "acme"), &driftv1.ListProfileStatusesRequest{PageSize: 1})
	require.Len(t, found, 2)
	require.Equal(t, []string{young.GetUid(), p}, []string{found[0].GetProfile().GetUid(), found[1].GetProfile().GetUid()}, "newest first, and none at rest")
	require.Nil(t, found[0].GetSlot(), "it was not judged yet")
	require.Nil(t, found[0].GetDataTime())
	require.Empty(t, found[0].GetScores())

	wine := found[1]
	newest := r.scores("acme", p)[0]
	require.Equal(t, slotOf(2), newest.GetSlot().AsTime())
	require.True(t, proto.Equal(newest.GetSlot(), wine.GetSlot()))
	require.True(t, proto.Equal(newest.GetStartTime(), wine.GetStartTime()))
	require.True(t, proto.Equal(newest.GetEndTime(), wine.GetEndTime()))
	require.Equal(t, newest.GetRecords(), wine.GetRecords())
	require.NotNil(t, wine.GetDataTime())
	want := map[string]*driftv1.Score{}
	counted := map[driftv1.Verdict]uint32{}
	for _, s := range newest.GetScores() {
		s.Bins, s.States = nil, nil
		want[s.GetFeature()] = s
		counted[s.GetVerdict()]++
	}
	require.Len(t, wine.GetScores(), len(want))
	for _, s := range wine.GetScores() {
		require.True(t, proto.Equal(want[s.GetFeature()], s), s.GetFeature())
	}
	require.Positive(t, wine.GetMoved())
	require.Equal(t, []uint32{counted[driftv1.Verdict_VERDICT_DRIFT], counted[driftv1.Verdict_VERDICT_OK], counted[driftv1.Verdict_VERDICT_INSUFFICIENT]},
		[]uint32{wine.GetMoved(), wine.GetOk(), wine.GetInsufficient()})
	require.True(t, slices.IsSortedFunc(wine.GetScores(), func(a, b *driftv1.Score) int { return int(math.Copysign(1, times(b)-times(a))) }), "by how many times the threshold")
	open := r.alerts("acme", true)
	require.Len(t, open, 1)
	require.EqualValues(t, 1, wine.GetOpenAlerts())
	require.Equal(t, open[0].GetId(), wine.GetNewestAlert())

	// A few of many scores: those that moved most, and the counts are of all.
	few := r.statuses(as(t, "acme"), &driftv1.ListProfileStatusesRequest{Space: "examples", Scores: 2})
	require.Len(t, few, 1)
	require.True(t, proto.Equal(&driftv1.ProfileStatus{Scores: wine.GetScores()[:2]}, &driftv1.ProfileStatus{Scores: few[0].GetScores()}))
	require.Equal(t, wine.GetMoved(), few[0].GetMoved())

	// Nobody sees what is another's, or of a space that is not theirs.
	theirs := r.statuses(as(t, "globex"), &driftv1.ListProfileStatusesRequest{})
	require.Len(t, theirs, 1)
	require.Equal(t, foreign, theirs[0].GetProfile().GetUid())
	require.Zero(t, theirs[0].GetOpenAlerts())
	require.Zero(t, theirs[0].GetMoved(), "its own records are as the reference")
	in := r.statuses(forSpaces(t, "ml"), &driftv1.ListProfileStatusesRequest{})
	require.Len(t, in, 1)
	require.Equal(t, young.GetUid(), in[0].GetProfile().GetUid())
	require.Empty(t, r.statuses(forSpaces(t, "none"), &driftv1.ListProfileStatusesRequest{}))
}

func active(p *driftv1.Profile) *driftv1.Profile {
	p.Active = true
	return p
}

func times(s *driftv1.Score) float64 { return s.GetValue() / s.GetThreshold() }

// An alert is there for those whose it is, as in the list, and for nobody else.
func TestGetAlert(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	a := raise(t, m, r)
	get := func(ctx context.Context, id string) (*driftv1.Alert, error) {
		resp, err := r.GetAlert(ctx, &driftv1.GetAlertRequest{Id: id})
		return resp.GetAlert(), err
	}
	got, err := get(as(t, "acme"), a.GetId())
	require.NoError(t, err)
	require.True(t, proto.Equal(a, got))
	_, err = get(forSpaces(t, "examples"), a.GetId())
	require.NoError(t, err)
	for _, ctx := range []context.Context{as(t, "globex"), forSpaces(t, "ml")} {
		_, err = get(ctx, a.GetId())
		require.ErrorIs(t, err, fault.NotFound)
		require.ErrorContains(t, err, "there is no alert")
	}
	for _, id := range []string{"", "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11", "no id"} {
		_, err = get(as(t, "acme"), id)
		require.ErrorIs(t, err, fault.NotFound, id)
	}
}

// The scores of a backtest are those that the schedule stored, slot by slot, and there
// are none where nobody asked.
func TestABacktestTellsScores(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := create(t, r, "acme", wineProfile(t)).GetUid()
	for hour, keep := range []func(float64) bool{all, strong, all} {
		m.store("acme", p, wineRecords(t, string(rune('a'+hour)), minuteIn(hour+1), 20, keep))
		m.pass(r, p, hour+1)
	}
	told := func(req *driftv1.BacktestRequest) (slots []*driftv1.BacktestSlot) {
		stream, err := r.Backtest(as(t, "acme"), req)
		require.NoError(t, err)
		for {
			resp, err := stream.Recv()
			if err != nil {
				return slots
			}
			if s := resp.GetSlot(); s != nil {
				slots = append(slots, s)
			}
		}
	}
	req := &driftv1.BacktestRequest{Profile: p, StartTime: timestamppb.New(noon), EndTime: timestamppb.New(slotOf(3))}
	require.Empty(t, told(req))
	req.Scores = true
	slots := told(req)
	require.Len(t, slots, 3)
	for i, slot := range slots {
		require.Equal(t, slotOf(i+1), slot.GetSlot().AsTime())
		stored := r.scoreOf(p, slot.GetSlot().AsTime())
		require.Len(t, slot.GetScores(), len(stored.GetScores()))
		for k, s := range stored.GetScores() {
			s.Bins, s.States = nil, nil
			require.True(t, proto.Equal(s, slot.GetScores()[k]), "%d %s", i, s.GetFeature())
		}
	}
	many := wineProfile(t)
	many.Schedule.Cron = "* * * * *"
	stream, err := r.Backtest(as(t, "acme"), &driftv1.BacktestRequest{Profile: p, Candidate: many, Scores: true, StartTime: timestamppb.New(noon.Add(-13 * 24 * time.Hour))})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.ErrorIs(t, err, fault.Invalid)
	require.ErrorContains(t, err, "scores: those of")
}

// What is in no bin is summed up by its state.
func TestSummariesHaveStates(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := create(t, r, "acme", normal(t)).GetUid()
	first := noon.Unix()/60 - 60
	records := stream("s", first, 10, 5, 10, 2)
	for i := range records {
		switch i % 5 {
		case 0:
			records[i].Numbers[0] = math.NaN()
		case 1:
			records[i].Numbers[0] = math.Inf(-1)
		}
	}
	m.store("acme", p, records)
	resp, err := r.Summarize(as(t, "acme"), &driftv1.SummarizeRequest{Profile: p, StartTime: atMinute(first), EndTime: atMinute(first + 10), Step: durationpb.New(5 * time.Minute)})
	require.NoError(t, err)
	require.Len(t, resp.GetSteps(), 2)
	for _, step := range resp.GetSteps() {
		require.Equal(t, map[string]uint64{"nan": 5, "-inf": 5}, step.GetFeatures()[0].GetStates())
		require.EqualValues(t, 15, step.GetFeatures()[0].GetNumber())
	}
}
