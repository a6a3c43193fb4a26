package alert_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 10, 0, 5, 0, time.UTC)
	const hour = time.Hour
	open := func(told time.Duration, ever ...string) *alert.Alert {
		return &alert.Alert{Notified: now.Add(-told), Ever: ever}
	}
	for _, c := range []struct {
		name  string
		open  *alert.Alert
		moved []string
		found bool
		want  alert.Decision
	}{
		{"first drift", nil, []string{"x"}, true, alert.Decision{Change: alert.Raised, Tell: true}},
		{"nothing", nil, nil, false, alert.Decision{}},
		{"drift that does not persist yet", nil, nil, true, alert.Decision{}},
		{"too little says nothing", open(hour, "x"), []string{"x"}, false, alert.Decision{}},
		{"again, just told", open(hour-1, "x"), []string{"x"}, true, alert.Decision{Change: alert.Repeated}},
		{"again, long ago", open(hour, "x"), []string{"x"}, true, alert.Decision{Change: alert.Repeated, Tell: true}},
		{"another", open(0, "x"), []string{"x", "y"}, true, alert.Decision{Change: alert.Grew, Tell: true}},
		{"less", open(0, "x", "y"), []string{"y"}, true, alert.Decision{Change: alert.Repeated}},
		{"one that had moved before", open(0, "x", "y"), []string{"x", "y"}, true, alert.Decision{Change: alert.Repeated}},
		{"over", open(0, "x"), nil, false, alert.Decision{Change: alert.Resolved, Tell: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, alert.Decide(c.open, c.moved, c.found, now, hour))
		})
	}
	require.False(t, alert.Decide(open(1000*hour, "x"), []string{"x"}, true, now, 0).Tell, "repeat 0 is never")
}

// moves plays evaluations, one letter each: d is drift, o is ok, i is
// insufficient, and says after which the feature has moved.
func moves(evaluations string, p profile.Persistence) string {
	verdicts := map[rune]score.Verdict{'d': score.Drift, 'o': score.OK, 'i': score.Insufficient}
	var s alert.Standing
	out := ""
	for i, e := range evaluations {
		s, _ = s.Count(time.Unix(int64(i+1), 0), map[string]score.Verdict{"x": verdicts[e]}, p)
		out += map[bool]string{true: "M", false: "."}[len(s.Moved(p)) > 0]
	}
	return out
}

func TestPersistence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, n              int
		evaluations, want string
	}{
		{1, 1, "odioid", ".MM..M"},
		{2, 2, "ododdod", "....M.."},
		{2, 3, "dodooddi", "..M...MM"},
		{1, 3, "doooi", "MMM.."},
		{3, 3, "didid", "....M"},
	} {
		require.Equal(t, c.want, moves(c.evaluations, profile.Persistence{K: c.k, N: c.n}), "%d of %d: %s", c.k, c.n, c.evaluations)
	}
}

func TestASlotCountsOnce(t *testing.T) {
	t.Parallel()
	once := profile.Persistence{K: 1, N: 1}
	slot := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	drift, ok := map[string]score.Verdict{"x": score.Drift, "y": score.OK}, map[string]score.Verdict{"x": score.OK, "y": score.OK}
	s, counts := alert.Standing{}.Count(slot, drift, once)
	require.True(t, counts)
	_, counts = s.Count(slot, drift, once)
	require.False(t, counts, "done again")
	_, counts = s.Count(slot.Add(-1), ok, once)
	require.False(t, counts, "an earlier slot")
	s, counts = s.Count(slot, ok, once)
	require.True(t, counts, "the same slot with late data")
	require.Empty(t, s.Moved(once))
	_, counts = s.Count(slot.Add(time.Hour), ok, once)
	require.True(t, counts)

	// What takes the place of an evaluation leaves those before it.
	both := profile.Persistence{K: 2, N: 2}
	s, _ = alert.Standing{}.Count(slot, drift, both)
	s, _ = s.Count(slot.Add(1), ok, both)
	require.Empty(t, s.Moved(both))
	s, _ = s.Count(slot.Add(1), drift, both)
	require.Equal(t, []string{"x"}, s.Moved(both))
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

func TestEventsGoToTheRoutesTheyName(t *testing.T) {
	t.Parallel()
	a, b := &route{}, &route{}
	n := alert.Notifier{Routes: map[string]alert.Route{"a": a, "b": b}, Memory: memory{}}
	for id, routes := range map[string][]string{"1": {"a"}, "2": {"b", "gone"}, "3": nil, "4": {"gone"}} {
		require.NoError(t, n.Notify(t.Context(), &alert.Event{ID: id, Routes: routes}, time.Now()))
	}
	require.ElementsMatch(t, []string{"1", "3", "4"}, a.got)
	require.ElementsMatch(t, []string{"2", "3", "4"}, b.got, "to nobody would be worse")
}

func TestConsole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := alert.Console{Log: slog.New(slog.NewTextHandler(&out, nil)), TraceURL: "http://mesh/trace/{trace}"}
	threshold := 0.0833
	e := alert.Event{
		Change: alert.Raised, Title: "ml/wine/0.1.0", Monitor: "shape", Detector: "psi", Traces: []string{"abc"}, Count: 5,
		Moved: []alert.Moved{
			{Feature: "alcohol", Value: 15.65111, Threshold: &threshold, Sample: 203}, {Feature: "pH", Value: 2, Sample: 203}, {Feature: "c"}, {Feature: "d"},
		},
	}
	require.NoError(t, c.Deliver(t.Context(), &e))
	require.Contains(t, out.String(), "drift in ml/wine/0.1.0 raised (monitor shape): 5 features moved: "+
		"alcohol psi 15.65 against 0.0833 of 203 values, pH psi 2 of 203 values, c psi 0 of 0 values, and 2 more")
	require.Contains(t, out.String(), "http://mesh/trace/abc")
	require.Contains(t, out.String(), "WARN")
	out.Reset()
	e.Severity = profile.Critical
	require.NoError(t, c.Deliver(t.Context(), &e))
	require.Contains(t, out.String(), "ERROR")
	out.Reset()
	e.Change, e.Moved, e.Count, e.Reason = alert.Resolved, nil, 0, "superseded"
	require.NoError(t, c.Deliver(t.Context(), &e))
	require.Contains(t, out.String(), "drift in ml/wine/0.1.0 is over (monitor shape): superseded")
	require.Contains(t, out.String(), "INFO")
}
