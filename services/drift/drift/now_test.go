package drift_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/settings"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/services/drift/drift"
)

// To run a profile now is a slot like any other: scores and alerts, once however
// often it is asked for, and no minute is judged twice or left out.
func TestRunNow(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := create(t, r, "acme", wineProfile(t)).GetUid()
	now := func() *driftv1.Evaluation {
		t.Helper()
		resp, err := r.RunNow(as(t, "acme"), &driftv1.RunNowRequest{Profile: p})
		require.NoError(t, err)
		return resp.GetEvaluation()
	}
	_, err := r.RunNow(as(t, "acme"), &driftv1.RunNowRequest{Profile: p})
	require.ErrorIs(t, err, fault.Precondition, "no minute has ended")

	m.store("acme", p, wineRecords(t, "a", noon.Unix()/60, 20, strong))
	m.clock.set(noon.Add(20*time.Minute + 30*time.Second))
	first := now()
	require.Equal(t, noon.Add(20*time.Minute), first.GetSlot().AsTime())
	require.Equal(t, noon, first.GetStartTime().AsTime())
	require.EqualValues(t, 203, first.GetRecords())
	require.True(t, proto.Equal(first, now()), "asked again")
	require.Len(t, r.alerts("acme", true), 1)
	require.EqualValues(t, 1, r.alerts("acme", true)[0].GetOccurrences())
	require.Equal(t, slotOf(1), r.next(p), "the schedule stays")

	m.store("acme", p, wineRecords(t, "b", noon.Unix()/60+20, 20, all))
	m.pass(r, p, 1)
	e := r.scoreOf(p, slotOf(1))
	require.Equal(t, noon.Add(20*time.Minute), e.GetStartTime().AsTime())
	require.EqualValues(t, 799, e.GetRecords())
	require.Empty(t, r.alerts("acme", true))

	m.clock.set(slotOf(2).Add(time.Second)) // the grace is not over
	require.Equal(t, slotOf(2), now().GetSlot().AsTime())
	require.Equal(t, slotOf(3), r.next(p))
	require.Len(t, r.scores("acme", p), 3)

	_, err = r.RunNow(as(t, "other"), &driftv1.RunNowRequest{Profile: p})
	require.ErrorIs(t, err, fault.NotFound)
	_, err = r.SetProfileActive(as(t, "acme"), &driftv1.SetProfileActiveRequest{Profile: p})
	require.NoError(t, err)
	_, err = r.RunNow(as(t, "acme"), &driftv1.RunNowRequest{Profile: p})
	require.ErrorIs(t, err, fault.Precondition)
}

// A long evaluation tells how far it is, and ends when nobody listens any more.
func TestALongEvaluationTellsHowFarItIs(t *testing.T) {
	m := newMesh(t)
	var cfg drift.Config
	require.NoError(t, settings.Defaults(&cfg))
	cfg.Refresh = 24 * time.Hour
	r := m.runWith(cfg)
	p := create(t, r, "acme", wineProfile(t)).GetUid()
	const minutes = 200
	first := noon.Unix()/60 - minutes
	m.store("acme", p, wineRecords(t, "a", first, minutes, all))
	waiting := m.waiting(r)
	require.Greater(t, waiting, minutes/2)
	req := &driftv1.EvaluateRangeRequest{Profile: p, StartTime: timestamppb.New(noon.Add(-minutes * time.Minute)), EndTime: timestamppb.New(noon)}

	ctx, hangUp := context.WithCancel(as(t, "acme"))
	stream, err := r.EvaluateRange(ctx, req)
	require.NoError(t, err)
	resp, err := stream.Recv()
	require.NoError(t, err)
	require.EqualValues(t, 0, resp.GetProgress().GetDone())
	hangUp()
	require.Eventually(t, func() bool { return r.metric("driftmesh_drift_evaluations_total") == 1 }, patience, tick)
	require.NotZero(t, m.waiting(r), "the rest is not recomputed for nobody")

	stream, err = r.EvaluateRange(as(t, "acme"), req)
	require.NoError(t, err)
	var done []uint64
	var result *driftv1.Evaluation
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.Nil(t, result, "it comes last")
		if result = resp.GetEvaluation(); result == nil {
			require.Equal(t, "windows", resp.GetProgress().GetUnit())
			done = append(done, resp.GetProgress().GetDone())
			require.LessOrEqual(t, done[len(done)-1], resp.GetProgress().GetTotal())
		}
	}
	require.Equal(t, uint64(0), done[0])
	require.IsIncreasing(t, done)
	require.EqualValues(t, waiting, done[len(done)-1])
	require.Zero(t, m.waiting(r))
	require.EqualValues(t, 799, result.GetRecords())
	again, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: p, StartTime: req.GetStartTime(), EndTime: req.GetEndTime()})
	require.NoError(t, err)
	require.True(t, proto.Equal(again.GetEvaluation(), result))
}
