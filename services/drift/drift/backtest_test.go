package drift_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// backtested is what a backtest told.
type backtested struct {
	changes []string // "13 shape raised", by the hour of the slot
	slots   []uint64
	summary *driftv1.BacktestSummary
}

func (r *running) backtest(req *driftv1.BacktestRequest) (b backtested, err error) {
	stream, err := r.Backtest(as(r.t, "acme"), req)
	require.NoError(r.t, err)
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		require.Nil(r.t, b.summary, "it comes last")
		if c := resp.GetChange(); c != nil {
			b.changes = append(b.changes, fmt.Sprintf("%d %s %s", c.GetSlot().AsTime().Hour(), c.GetMonitor(), c.GetChange()))
		}
		if p := resp.GetProgress(); p.GetUnit() == "slots" {
			b.slots = append(b.slots, p.GetDone())
		}
		b.summary = resp.GetSummary()
	}
}

// A backtest of a registered profile tells what its schedule has done; one of a
// profile that is not registered tells what that would have, and neither stores
// anything. Both say how often it would have been false, and how late.
func TestBacktest(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := create(t, r, "acme", wineProfile(t)).GetUid()
	for hour := 1; hour <= 6; hour++ {
		keep := all
		if hour == 4 || hour == 5 {
			keep = strong
		}
		m.store("acme", p, wineRecords(t, fmt.Sprint("h", hour), minuteIn(hour), 20, keep))
		m.pass(r, p, hour)
	}
	alerts := r.alerts("acme", false)
	require.Len(t, alerts, 1)
	stored := func() []uint64 {
		return []uint64{m.count("SELECT count() FROM cells FINAL"), m.count("SELECT count() FROM monitor_scores FINAL"), uint64(len(r.alerts("acme", false)))}
	}
	before := stored()
	req := &driftv1.BacktestRequest{
		Profile: p, StartTime: timestamppb.New(noon), EndTime: timestamppb.New(slotOf(6)), ChangeTime: timestamppb.New(slotOf(3)),
	}
	b, err := r.backtest(req)
	require.NoError(t, err)
	require.Equal(t, []string{"16 shape raised", "18 shape resolved"}, b.changes, "as it was")
	require.EqualValues(t, 6, b.summary.GetSlots())
	require.EqualValues(t, 4*799+2*203, b.summary.GetRecords())
	require.Equal(t, []uint64{0, 6}, b.slots)
	shape := b.summary.GetMonitors()[0]
	require.EqualValues(t, 6, shape.GetJudged())
	require.EqualValues(t, 2, shape.GetDrifted())
	require.EqualValues(t, 1, shape.GetAlerts())
	require.False(t, shape.GetOpen())
	require.EqualValues(t, 3, shape.GetQuietJudged())
	require.InDelta(t, 0, shape.GetFalseAlarmRate(), 0)
	require.Equal(t, time.Hour, shape.GetDelay().AsDuration())

	// A candidate: two features in another order, every two hours, and monitors of
	// its own. Its digits are those it would have if it were registered.
	of := wineProfile(t)
	alcohol, acid := of.GetFeatures()[10], of.GetFeatures()[0]
	of.Name, of.Features, of.Schedule.Cron = "candidate", []*driftv1.FeatureProfile{alcohol, acid}, "0 */2 * * *"
	of.Monitors = []*driftv1.Monitor{
		{Name: "shape", Detector: "psi_scouter", Threshold: &driftv1.Threshold{Kind: &driftv1.Threshold_Fixed{Fixed: 0.1}}},
		{Name: "touchy", Detector: "psi_scouter", Threshold: &driftv1.Threshold{Kind: &driftv1.Threshold_Fixed{Fixed: 0}}},
		{Name: "thrice", Detector: "psi_scouter", Threshold: &driftv1.Threshold{Kind: &driftv1.Threshold_Fixed{Fixed: 0.1}}, Persistence: &driftv1.Persistence{K: 3, N: 3}},
	}
	req.Candidate = proto.CloneOf(of)
	req.Candidate.Monitors = append(req.Candidate.Monitors, &driftv1.Monitor{Name: "mean", Detector: "mean"}, &driftv1.Monitor{Name: "spread", Detector: "spread"})
	b, err = r.backtest(req)
	require.NoError(t, err)
	for _, m := range b.summary.GetMonitors()[3:] {
		require.Zero(t, m.GetJudged(), "it needs more than counts")
	}
	req.Candidate = of
	b, err = r.backtest(req)
	require.NoError(t, err)
	require.EqualValues(t, 3, b.summary.GetSlots())
	require.EqualValues(t, 4*799+2*203, b.summary.GetRecords())
	require.Equal(t, "14 touchy raised", b.changes[0])
	require.InDelta(t, 1, b.summary.GetMonitors()[1].GetFalseAlarmRate(), 0, "it always alerts")
	require.Nil(t, b.summary.GetMonitors()[1].GetDelay(), "it was open already")
	require.Zero(t, b.summary.GetMonitors()[2].GetAlerts())
	require.Equal(t, before, stored())

	c := create(t, r, "acme", of).GetUid()
	for hour := 1; hour <= 6; hour++ {
		keep := all
		if hour == 4 || hour == 5 {
			keep = strong
		}
		records := wineRecords(t, fmt.Sprint("h", hour), minuteIn(hour), 20, keep)
		for i := range records {
			records[i].Numbers = []float64{records[i].Numbers[10], records[i].Numbers[0]}
		}
		m.store("acme", c, records)
	}
	req.Profile, req.Candidate = c, nil
	registered, err := r.backtest(req)
	require.NoError(t, err)
	require.Equal(t, registered.changes, b.changes)
	require.True(t, proto.Equal(registered.summary, b.summary))

	of.Features[1].Name = "colour"
	_, err = r.backtest(&driftv1.BacktestRequest{Profile: p, Candidate: of})
	require.ErrorIs(t, err, fault.Invalid)
	require.ErrorContains(t, err, "feature colour: profile examples/wine/0.1.0 has none of that name")
	of.Features, of.Schedule.Cron = wineProfile(t).GetFeatures(), "* * * * *"
	_, err = r.backtest(&driftv1.BacktestRequest{Profile: p, Candidate: of, StartTime: timestamppb.New(noon.Add(-300 * 24 * time.Hour))})
	require.ErrorContains(t, err, "more than 20000 slots")
}

// Who hangs up ends the work.
func TestABacktestEndsWithItsCaller(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	of := wineProfile(t)
	of.Schedule.Cron = "* * * * *"
	p := create(t, r, "acme", of).GetUid()
	ctx, hangUp := context.WithCancel(as(t, "acme"))
	stream, err := r.Backtest(ctx, &driftv1.BacktestRequest{Profile: p, StartTime: timestamppb.New(noon.Add(-5 * 24 * time.Hour))})
	require.NoError(t, err)
	told := 0
	for ; told < 5; told++ {
		_, err := stream.Recv()
		require.NoError(t, err)
	}
	hangUp()
	for err == nil {
		_, err = stream.Recv()
	}
	require.NotErrorIs(t, err, io.EOF, "it was not done")
}
