package alert_test

import (
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

func TestAnEventIsPutIntoWords(t *testing.T) {
	t.Parallel()
	threshold, p, rate := 0.0833, 1.2e-9, 0.05
	e := alert.Event{
		Change: alert.Raised, Title: "ml/wine/0.1.0", Monitor: "shape", Detector: "psi", Count: 5,
		Moved: []alert.Moved{
			{Feature: "alcohol", Value: 15.65111, Threshold: &threshold, Sample: 203, Reference: 800, Adjusted: &p, Rate: &rate},
			{Feature: "pH", Value: 2, Sample: 203}, {Feature: "c"}, {Feature: "d"},
		},
	}
	e.Moved[0].Picture(&score.Report{
		Bins: []score.Bin{
			{Label: "(-inf, 9]", Expected: 0.5, Observed: 0}, {Label: "(9, 10]", Expected: 0.25, Observed: 0.05}, {Label: "(10, +inf)", Expected: 0.25, Observed: 0.95},
		},
		States: []score.Bin{{Label: "missing"}, {Label: "nan", Observed: 0.125}},
	})
	require.Equal(t, "drift in ml/wine/0.1.0 raised (monitor shape): 5 features moved: "+
		"alcohol psi 15.65 against 0.0833 of 203 values, pH psi 2 of 203 values, c psi 0 of 0 values, and 2 more", e.Text())
	require.Equal(t, `alcohol  psi 15.65 against 0.0833, adjusted p 1.2e-09 (false alarms 5%), 203 values against 800
  reference ▅▃▃
  current   ·▁█  (10, +inf): 25% → 95%
pH  psi 2, 203 values
c  psi 0, 0 values
d  psi 0, 0 values
and 1 more
`, e.Details())
	require.Equal(t, []alert.Share{{Label: "nan", Observed: 0.125}}, e.Moved[0].States)
	e.Moved[0].Feature, e.Detector, e.Moved, e.Count = "alcohol, pH and 7 more", "hotelling", e.Moved[:1], 1
	e.Moved[0].Bins = []alert.Share{{Label: "alcohol", Expected: .3, Observed: .2}, {Label: "sugar", Expected: .3, Observed: .45}, {Label: "pH", Expected: .4, Observed: .35}}
	require.Equal(t, "drift in ml/wine/0.1.0 raised (monitor shape): features moved together: alcohol, pH and 7 more hotelling 15.65 against 0.0833 of 203 values, "+
		"most of it sugar, pH", e.Text())
	e.Detector, e.Change, e.Moved, e.Count, e.Reason = "psi", alert.Resolved, nil, 0, "superseded"
	require.Equal(t, "drift in ml/wine/0.1.0 is over (monitor shape): superseded", e.Text())
	require.Equal(t, [3]string{"ml", "wine", "0.1.0"}, [3]string{e.Space(), e.Name(), e.Version()})
}

// Many bins share bars; nothing of them is lost.
func TestAPictureIsBounded(t *testing.T) {
	t.Parallel()
	r := score.Report{}
	for range 101 {
		r.Bins = append(r.Bins, score.Bin{Label: "b", Expected: 1.0 / 101, Observed: 1.0 / 101})
	}
	var m alert.Moved
	m.Picture(&r)
	require.LessOrEqual(t, len(m.Bins), alert.MaxBars)
	sum := 0.0
	for _, s := range m.Bins {
		sum += s.Observed
	}
	require.InDelta(t, 1, sum, 1e-9)
	reference, current := alert.Bars(nil)
	require.Empty(t, reference+current)
}

func TestMatches(t *testing.T) {
	t.Parallel()
	e := &alert.Event{
		Tenant: "acme", Title: "pay/fraud/1.2.0", Monitor: "shape", Detector: "psi", Severity: profile.Critical, Count: 2,
		Moved: []alert.Moved{{Feature: "amount"}, {Feature: "user/age"}},
	}
	for _, c := range []struct {
		match    alert.Match
		all, any bool
	}{
		{alert.Match{}, true, true},
		{alert.Match{Space: "pay", Profile: "f*", Monitor: "s?ape", Detector: "[p-q]si", Severity: "critical", Tenant: "*"}, true, true},
		{alert.Match{Space: "pa"}, false, false},
		{alert.Match{Severity: "warning"}, false, false},
		{alert.Match{Feature: "amount"}, false, true},
		{alert.Match{Feature: "*a*"}, true, true},
		{alert.Match{Feature: "user*"}, false, true},
		{alert.Match{Feature: "x"}, false, false},
	} {
		require.Equal(t, c.all, c.match.All(e), "%+v", c.match)
		require.Equal(t, c.any, c.match.Any(e), "%+v", c.match)
		require.NoError(t, c.match.Check())
	}
	e.Count = 30
	require.False(t, alert.Match{Feature: "*a*"}.All(e), "features that are only counted may be others")
	require.True(t, alert.Match{Feature: "*"}.All(e))
	require.ErrorContains(t, alert.Match{Space: "[a"}.Check(), `space: "[a" is no pattern`)

	now := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	s := &alert.Silence{Match: alert.Match{Space: "pay"}, Start: now, End: now.Add(time.Hour)}
	for at, want := range map[time.Duration]bool{-1: false, 0: true, time.Hour - 1: true, time.Hour: false} {
		require.Equal(t, want, alert.Silenced([]*alert.Silence{s}, e, now.Add(at)) != nil, at)
	}
	s.Expired = now
	require.Nil(t, alert.Silenced([]*alert.Silence{s}, e, now))
}
