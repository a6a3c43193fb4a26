package main

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// answers are those of a backtest.
type answers struct {
	grpc.ServerStreamingClient[driftv1.BacktestResponse]
	left []*driftv1.BacktestResponse
}

func (a *answers) Recv() (*driftv1.BacktestResponse, error) {
	if len(a.left) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	next := a.left[0]
	a.left = a.left[1:]
	return next, nil
}

func TestABacktestShowsAlertsAndSums(t *testing.T) {
	t.Parallel()
	at := timestamppb.New(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	rate := 0.125
	stream := func() *answers {
		return &answers{left: []*driftv1.BacktestResponse{
			{Answer: &driftv1.BacktestResponse_Progress{Progress: &driftv1.Progress{Done: 1, Total: 2, Unit: "slots"}}},
			{Answer: &driftv1.BacktestResponse_Change{Change: &driftv1.BacktestChange{Slot: at, Monitor: "m", Change: "raised", Moved: []string{"a", "b", "c", "d"}}}},
			{Answer: &driftv1.BacktestResponse_Summary{Summary: &driftv1.BacktestSummary{StartTime: at, EndTime: at, Slots: 24, Records: 5, Monitors: []*driftv1.BacktestMonitor{
				{Monitor: "m", Detector: "psi", Judged: 9, Drifted: 3, Alerts: 2, QuietJudged: 8, QuietDrifted: 1, QuietAlerts: 1, FalseAlarmRate: &rate, Delay: durationpb.New(time.Hour)},
				{Monitor: "n", Detector: "ks"},
			}}}},
		}}
	}
	var out, progress bytes.Buffer
	c := driftBacktestCmd{clientFlags: clientFlags{Output: "table"}}
	require.NoError(t, c.follow(console{out: &out, err: &progress}, stream()))
	require.Contains(t, out.String(), "m raised: a, b, c and 1 more")
	require.Contains(t, out.String(), "24 slots, 5 records")
	require.Regexp(t, `m +psi +9 +3 +2 +false +12.50% of 8 +1 +1h0m0s`, out.String())
	require.Regexp(t, `n +ks +0 +0 +0 +false +- +- +-`, out.String())
	out.Reset()
	c.Output = "json"
	require.NoError(t, c.follow(console{out: &out, err: &progress}, stream()))
	require.Contains(t, out.String(), `"false_alarm_rate": 0.125`)
	require.ErrorIs(t, c.follow(console{out: &out, err: &progress}, &answers{}), io.ErrUnexpectedEOF)
}
