package alert_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	slot := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	now := slot.Add(5 * time.Second)
	const hour = time.Hour
	open := func(verdict score.Verdict, told time.Duration) alert.Before {
		return alert.Before{Slot: slot.Add(-hour), Verdict: verdict, Open: true, Notified: now.Add(-told)}
	}
	for _, c := range []struct {
		name    string
		before  alert.Before
		verdict score.Verdict
		want    alert.Decision
	}{
		{"first drift", alert.Before{}, score.Drift, alert.Decision{Counts: true, Change: alert.Raised, Tell: true}},
		{"first ok", alert.Before{}, score.OK, alert.Decision{Counts: true}},
		{"too little says nothing", open(score.Drift, hour), score.Insufficient, alert.Decision{Counts: true}},
		{"again, just told", open(score.Drift, hour-1), score.Drift, alert.Decision{Counts: true, Change: alert.Repeated}},
		{"again, long ago", open(score.Drift, hour), score.Drift, alert.Decision{Counts: true, Change: alert.Repeated, Tell: true}},
		{"over", open(score.Drift, 0), score.OK, alert.Decision{Counts: true, Change: alert.Resolved, Tell: true}},
		{"over after a gap", open(score.Insufficient, 0), score.OK, alert.Decision{Counts: true, Change: alert.Resolved, Tell: true}},
		{"the same slot done again", alert.Before{Slot: slot, Verdict: score.Drift, Open: true}, score.Drift, alert.Decision{}},
		{"the same slot with late data", alert.Before{Slot: slot, Verdict: score.OK}, score.Drift, alert.Decision{Counts: true, Change: alert.Raised, Tell: true}},
		{"an earlier slot", alert.Before{Slot: slot.Add(1), Verdict: score.OK}, score.Drift, alert.Decision{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, alert.Decide(c.before, slot, c.verdict, now, hour))
		})
	}
	require.False(t, alert.Decide(open(score.Drift, 1000*hour), slot, score.Drift, now, 0).Tell, "repeat 0 is never")
}

// memory is what was delivered.
type memory map[string]bool

func (m memory) WasDelivered(_ context.Context, event, route string) (bool, error) {
	return m[event+route], nil
}

func (m memory) SetDelivered(_ context.Context, event, route string, _ time.Time) error {
	m[event+route] = true
	return nil
}

// route fails until it is mended.
type route struct {
	broken error
	got    []string
}

func (r *route) Deliver(_ context.Context, e *alert.Event) error {
	if r.broken != nil {
		return r.broken
	}
	r.got = append(r.got, e.ID)
	return nil
}

func TestEachRouteHearsOnce(t *testing.T) {
	t.Parallel()
	good, bad := &route{}, &route{broken: errors.New("away")}
	n := alert.Notifier{Routes: map[string]alert.Route{"good": good, "bad": bad}, Memory: memory{}}
	e := &alert.Event{ID: "1"}
	for range 3 {
		require.ErrorContains(t, n.Notify(t.Context(), e, time.Now()), "away")
	}
	bad.broken = nil
	require.NoError(t, n.Notify(t.Context(), e, time.Now()))
	require.NoError(t, n.Notify(t.Context(), e, time.Now()))
	require.Equal(t, []string{"1"}, good.got)
	require.Equal(t, []string{"1"}, bad.got)
}

func TestConsole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := alert.Console{Log: slog.New(slog.NewTextHandler(&out, nil)), TraceURL: "http://mesh/trace/{trace}"}
	e := alert.Event{Change: alert.Raised, Title: "ml/wine/0.1.0", Feature: "alcohol", Detector: "psi", Value: 15.65111, Threshold: 0.0833, Sample: 203, Traces: []string{"abc"}}
	require.NoError(t, c.Deliver(t.Context(), &e))
	require.Contains(t, out.String(), "drift of alcohol in ml/wine/0.1.0 raised: psi 15.65 above 0.0833, 203 values")
	require.Contains(t, out.String(), "http://mesh/trace/abc")
	require.Contains(t, out.String(), "WARN")
	e.Change = alert.Resolved
	require.NoError(t, c.Deliver(t.Context(), &e))
	require.Contains(t, out.String(), "is over")
}
