package drift_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/settings"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/services/drift/drift"
	"github.com/driftmesh/driftmesh/services/drift/internal/drifttest"
)

// slotOf is the slot of an hourly schedule, and minuteIn a minute that it judges.
func slotOf(hour int) time.Time { return noon.Add(time.Duration(hour) * time.Hour) }

func minuteIn(hour int) int64 { return slotOf(hour).Unix()/60 - 30 }

// pass lets the slot of an hour come and waits for its score.
func (m *mesh) pass(r *running, profile string, hour int) {
	m.t.Helper()
	m.clock.set(slotOf(hour).Add(6 * time.Second))
	require.Eventually(m.t, func() bool { return r.next(profile).Equal(slotOf(hour + 1)) }, patience, tick)
}

// next is the next slot of a profile's schedule.
func (r *running) next(profile string) time.Time {
	var micros int64
	require.NoError(r.t, r.state.QueryRow(r.t.Context(), "SELECT next FROM schedules WHERE profile = ?", profile).Scan(&micros))
	return time.UnixMicro(micros).UTC()
}

// scoreOf is the stored evaluation of a slot; nil if there is none.
func (r *running) scoreOf(profile string, slot time.Time) *driftv1.Evaluation {
	for _, e := range r.scores("acme", profile) {
		if e.GetSlot().AsTime().Equal(slot) {
			return e
		}
	}
	return nil
}

// Records that come when their slot has been judged are judged by themselves: the
// score is replaced, and the alert that should have been is raised, marked late.
func TestLateRecordsAreJudged(t *testing.T) {
	m := newMesh(t)
	var console syncBuffer
	m.log = slog.New(slog.NewTextHandler(&console, nil))
	r := m.run()
	p := create(t, r, "acme", wineProfile(t)).GetUid()
	m.store("acme", p, wineRecords(t, "a", minuteIn(1), 5, all))
	m.pass(r, p, 1)
	require.EqualValues(t, 799, r.scoreOf(p, slotOf(1)).GetRecords())
	m.pass(r, p, 2)
	m.store("acme", p, wineRecords(t, "c", minuteIn(3), 5, all))
	m.pass(r, p, 3)
	require.Equal(t, driftv1.Verdict_VERDICT_INSUFFICIENT, r.scoreOf(p, slotOf(2)).GetScores()[0].GetVerdict())
	require.Empty(t, r.alerts("acme", false))

	m.store("acme", p, wineRecords(t, "b", minuteIn(2), 5, strong))
	require.Eventually(t, func() bool { return len(r.alerts("acme", false)) == 1 }, patience, tick)
	e := r.scoreOf(p, slotOf(2))
	require.EqualValues(t, 203, e.GetRecords())
	require.Equal(t, slotOf(1), e.GetStartTime().AsTime())
	require.Len(t, r.scores("acme", p), 3, "a score has one row")
	a := r.alerts("acme", false)[0]
	require.True(t, a.GetLate())
	require.NotNil(t, a.GetResolveTime(), "the slot after was fine")
	require.Equal(t, slotOf(2), a.GetRangeEnd().AsTime())
	require.Equal(t, "alcohol", a.GetMoved()[0].GetFeature())
	m.await(event.Alerts, event.GroupNotifier)
	require.Eventually(t, func() bool {
		return strings.Contains(console.String(), "(late: by data that came after 2026-11-21T13:00:00Z to 2026-11-21T14:00:00Z was judged)")
	}, patience, tick)

	// The latest slot: as of now it has moved.
	m.store("acme", p, wineRecords(t, "d", minuteIn(3), 5, func(v float64) bool { return v > 9.5 }))
	m.store("acme", p, wineRecords(t, "d2", minuteIn(3), 5, strong))
	m.store("acme", p, wineRecords(t, "d3", minuteIn(3), 5, strong))
	require.Eventually(t, func() bool { return len(r.alerts("acme", true)) == 1 }, patience, tick)
	require.True(t, r.alerts("acme", true)[0].GetLate())

	// What is older than the setting is counted, and not judged any more.
	m.clock.set(slotOf(2).Add(168*time.Hour + time.Minute))
	require.Eventually(t, func() bool { return r.next(p).After(m.clock.Now()) }, patience, tick)
	m.store("acme", p, wineRecords(t, "e", minuteIn(2), 5, all))
	require.Eventually(t, func() bool { return m.waiting(r) == 0 && r.late() == 0 }, patience, tick)
	require.EqualValues(t, 203, r.scoreAt(p, slotOf(2)).GetRecords())
}

// late is how many minutes are late and wait to be judged.
func (r *running) late() (n int) {
	require.NoError(r.t, r.state.QueryRow(r.t.Context(), "SELECT COUNT(*) FROM late").Scan(&n))
	return n
}

// scoreAt looks for the evaluation of a slot on all pages.
func (r *running) scoreAt(profile string, slot time.Time) *driftv1.Evaluation {
	for token := ""; ; {
		resp, err := r.ListScores(as(r.t, "acme"), &driftv1.ListScoresRequest{Profile: profile, PageToken: token, PageSize: 100})
		require.NoError(r.t, err)
		for _, e := range resp.GetEvaluations() {
			if e.GetSlot().AsTime().Equal(slot) {
				return e
			}
		}
		if token = resp.GetNextPageToken(); token == "" {
			return nil
		}
	}
}

// A profile that looks back judges a minute by several slots, of its schedule and
// of windows that close: all of them are scored again, and others are not.
func TestLateRecordsOfProfilesThatLookBack(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	of := wineProfile(t)
	of.Schedule.Cron, of.Schedule.OnClose, of.Schedule.Lookback = "*/2 * * * *", true, durationpb.New(4*time.Minute)
	p := create(t, r, "acme", of).GetUid()
	first := noon.Unix() / 60
	for minute := range int64(10) {
		m.store("acme", p, wineRecords(t, fmt.Sprint("a", minute), first+minute, 1, func(v float64) bool { return v > 12 }))
		m.clock.set(noon.Add(time.Duration(minute+1)*time.Minute + 6*time.Second))
		require.Eventually(t, func() bool {
			return m.waiting(r) == 0 && r.late() == 0 && r.next(p).After(m.clock.Now()) && r.scoreOf(p, timeOfMinute(first+minute+1)) != nil
		}, patience, tick)
	}
	before := map[string]uint64{}
	for _, e := range r.evaluations(p) {
		before[e.trigger+e.GetSlot().AsTime().Format("15:04")] = e.GetRecords()
	}
	late := wineRecords(t, "late", first+3, 1, strong)
	m.store("acme", p, late)
	require.Eventually(t, func() bool { return m.waiting(r) == 0 && r.late() == 0 }, patience, tick)
	for _, e := range r.evaluations(p) {
		slot := e.trigger + e.GetSlot().AsTime().Format("15:04")
		want := before[slot]
		if end := e.GetSlot().AsTime().Unix() / 60; end > first+3 && end <= first+3+4 {
			want += uint64(len(late))
		}
		require.Equal(t, want, e.GetRecords(), slot)
	}
}

func timeOfMinute(minute int64) time.Time { return time.Unix(minute*60, 0).UTC() }

// stored is an evaluation with what it was triggered by.
type stored struct {
	*driftv1.Evaluation
	trigger string
}

// evaluations are all of a profile; where two have one slot the schedule's comes
// first.
func (r *running) evaluations(profile string) (all []stored) {
	var last time.Time
	for _, e := range r.scores("acme", profile) {
		trigger := "schedule"
		if e.GetSlot().AsTime().Equal(last) || e.GetSlot().AsTime().Minute()%2 == 1 {
			trigger = "close"
		}
		last = e.GetSlot().AsTime()
		all = append(all, stored{e, trigger})
	}
	return all
}

// A schedule in seconds judges each minute once, as a whole, and no second twice.
func TestASchedulesInSecondsJudgesEachMinuteOnce(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	of := wineProfile(t)
	of.Schedule.Cron = "10,30,50 * * * * *"
	p := create(t, r, "acme", of).GetUid()
	minute := noon.Unix() / 60
	sent := 0
	for i := range int64(4) {
		records := wineRecords(t, fmt.Sprint("a", i), minute+i, 1, func(v float64) bool { return v > 12 })
		sent += len(records)
		m.store("acme", p, records)
	}
	m.clock.set(noon.Add(5 * time.Minute))
	require.Eventually(t, func() bool { return r.next(p).After(noon.Add(5 * time.Minute)) }, patience, tick)
	scores, total := r.scores("acme", p), uint64(0)
	require.Len(t, scores, 4)
	for i, e := range scores {
		require.Equal(t, noon.Add(time.Duration(4-i)*time.Minute+10*time.Second), e.GetSlot().AsTime())
		require.Equal(t, noon.Add(time.Duration(3-i)*time.Minute), e.GetStartTime().AsTime())
		require.Equal(t, noon.Add(time.Duration(4-i)*time.Minute), e.GetEndTime().AsTime())
		total += e.GetRecords()
	}
	require.EqualValues(t, sent, total)
}

// A window that receives for its whole minute is recomputed a few times, not with
// every refresh, and what is asked for in between is exact.
func TestAWindowThatReceivesIsRecomputedAFewTimes(t *testing.T) {
	m := newMesh(t)
	var cfg drift.Config
	require.NoError(t, settings.Defaults(&cfg))
	cfg.Poll = tick
	r := m.runWith(cfg)
	p := create(t, r, "acme", wineProfile(t)).GetUid()
	minute := noon.Unix() / 60
	records := wineRecords(t, "a", minute, 1, all)
	for second := range 60 {
		m.clock.set(noon.Add(time.Duration(second) * time.Second))
		m.store("acme", p, records[second*13:(second+1)*13])
		require.Eventually(t, func() bool { return r.due(m.clock.Now()) == 0 }, patience, tick)
		if second == 45 {
			resp, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{
				Profile: p, StartTime: timestamppb.New(noon), EndTime: timestamppb.New(noon.Add(time.Minute)),
			})
			require.NoError(t, err)
			require.EqualValues(t, 46*13, resp.GetEvaluation().GetRecords())
		}
	}
	m.clock.set(noon.Add(2 * time.Minute))
	require.Eventually(t, func() bool { return m.waiting(r) == 0 }, patience, tick)
	require.EqualValues(t, 780, m.count("SELECT sum(Records) FROM cells FINAL WHERE Feature = 0"))
	recomputed := r.metric("driftmesh_drift_windows_recomputed_total")
	require.LessOrEqual(t, recomputed, 9.0, "one for the evaluation that was asked for")
	require.GreaterOrEqual(t, recomputed, 4.0)
}

// due is how many windows wait and are due.
func (r *running) due(now time.Time) (n int) {
	require.NoError(r.t, r.state.QueryRow(r.t.Context(), "SELECT COUNT(*) FROM windows WHERE touched > done AND due <= ?", now.UnixMicro()).Scan(&n))
	return n
}

// metric is the value of a counter.
func (r *running) metric(name string) (sum float64) {
	families, err := r.stats.Gather()
	require.NoError(r.t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, v := range f.GetMetric() {
				sum += v.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// kill ends a worker as a crash would: from one moment on it writes nothing down,
// and gives nothing back.
func (r *running) kill() {
	r.ended = true
	_ = r.state.Close()
	r.stop()
	select {
	case <-r.done:
	case <-time.After(patience):
		require.Fail(r.t, "the service does not stop")
	}
	_ = r.conn.Close()
	_ = r.broker.Close(context.Background())
}

// Workers that are killed at random, 1, 2 or 7 at a time, with records shuffled,
// duplicated and late: the same cells and scores to the last digit, each alert
// once, no slot skipped.
func TestKilledWorkersWithLateData(t *testing.T) {
	const hours = 6
	var first []*driftv1.Evaluation
	for _, workers := range []int{1, 2, 7} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			m := newMesh(t)
			m.clock.step = time.Nanosecond
			var console syncBuffer
			m.log = slog.New(slog.NewTextHandler(&console, nil))
			random := rand.New(rand.NewPCG(uint64(workers), 9)) //nolint:gosec // small and positive
			running := []*running{m.run()}
			for range workers - 1 {
				running = append(running, m.run())
			}
			p := create(t, running[0], "acme", wineProfile(t)).GetUid()
			arrivals := lateArrivals(t, random, hours)
			for hour := range hours {
				for batch := range slices.Chunk(arrivals[hour], 60) {
					m.insert("acme", p, batch)
					if random.IntN(4) == 0 {
						i := random.IntN(len(running))
						running[i].kill()
						running[i] = m.run()
					}
				}
				// An hour is longer than an event waits for those before it.
				m.told(running[0])
				m.clock.set(slotOf(hour + 1).Add(6 * time.Second))
				if random.IntN(2) == 0 {
					m.pass(running[0], p, hour+1)
				}
			}
			m.insert("acme", p, arrivals[hours])
			m.await(event.Windows, event.GroupDrift)
			// Leases of the dead come to an end, and after them waits before something is
			// tried again; those of the living must last while they work.
			m.clock.set(m.clock.Now().Add(time.Minute))
			require.Eventually(t, func() bool {
				m.clock.set(minTime(m.clock.Now().Add(100*time.Millisecond), slotOf(hours+1).Add(-time.Minute)))
				return running[0].next(p).Equal(slotOf(hours+1)) && m.waiting(running[0]) == 0 && running[0].late() == 0
			}, 3*patience, tick)
			checkAlerts(t, m, running[0], &console, hours)
			got := running[0].scores("acme", p)
			require.Len(t, got, hours, "no slot is skipped, none is twice")
			for i, e := range got {
				require.Equal(t, slotOf(hours-i), e.GetSlot().AsTime())
				require.Equal(t, slotOf(hours-i-1), e.GetStartTime().AsTime())
				require.EqualValues(t, len(hourRecords(t, hours-i)), e.GetRecords())
				e.Profile = ""
			}
			if first == nil {
				first = got
			}
			for i := range first {
				require.True(t, proto.Equal(first[i], got[i]), "slot %s differs", got[i].GetSlot().AsTime())
			}
		})
	}
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// hourRecords are the records of an hour: in the second and fourth they drift.
func hourRecords(t *testing.T, hour int) []drifttest.Record {
	keep := all
	if hour == 2 || hour == 4 {
		keep = strong
	}
	return wineRecords(t, fmt.Sprint("h", hour), minuteIn(hour), 20, keep)
}

// lateArrivals says what arrives before each hour's end, and after the last: most
// in its hour, a quarter later, some twice; of the fourth hour all is late.
func lateArrivals(t *testing.T, random *rand.Rand, hours int) [][]drifttest.Record {
	arrivals := make([][]drifttest.Record, hours+1)
	for hour := 1; hour <= hours; hour++ {
		for _, r := range hourRecords(t, hour) {
			at := hour - 1
			if hour == 4 {
				at = 5
			} else if random.IntN(4) == 0 {
				at = min(at+1+random.IntN(3), hours)
			}
			arrivals[at] = append(arrivals[at], r)
			if random.IntN(10) == 0 {
				again := min(at+random.IntN(3), hours)
				arrivals[again] = append(arrivals[again], r)
			}
		}
	}
	for i := range arrivals {
		random.Shuffle(len(arrivals[i]), func(a, b int) { arrivals[i][a], arrivals[i][b] = arrivals[i][b], arrivals[i][a] })
	}
	return arrivals
}

func checkAlerts(t *testing.T, m *mesh, r *running, console *syncBuffer, hours int) {
	t.Helper()
	m.told(r)
	require.Eventually(t, func() bool { // what the dead had in hand is sent when their leases are over
		m.clock.set(minTime(m.clock.Now().Add(time.Second), slotOf(hours+1).Add(-time.Minute)))
		var waiting int
		require.NoError(t, r.state.QueryRow(t.Context(), "SELECT COUNT(*) FROM deliveries WHERE state = 'waiting'").Scan(&waiting))
		return waiting == 0
	}, patience, tick)
	for _, a := range r.alerts("acme", false) {
		if a.GetRangeEnd().AsTime().Equal(slotOf(4)) {
			require.True(t, a.GetLate(), "of this hour nothing came in time")
		}
		require.NotNil(t, a.GetResolveTime())
	}
	// An alert may have grown on: a slot whose data was in the hands of the dead was
	// judged by what was there. Who dies between telling and writing that down tells it
	// again, by the same key.
	raised := map[string]string{} // by event
	for _, line := range regexp.MustCompile(` raised \(.* event=(\S+) .* range_end=(\S+)`).FindAllStringSubmatch(console.String(), -1) {
		raised[line[1]] = line[2]
	}
	at := func(hour int) string { return slotOf(hour).Format("2006-01-02T15:04:05.000Z") }
	require.ElementsMatch(t, []string{at(2), at(4)}, slices.Collect(maps.Values(raised)), console.String())
}

// told waits until all news are with the couriers.
func (m *mesh) told(r *running) {
	m.t.Helper()
	require.Eventually(m.t, func() bool {
		var left int
		require.NoError(m.t, r.state.QueryRow(m.t.Context(), "SELECT COUNT(*) FROM outbox").Scan(&left))
		return left == 0
	}, patience, tick)
	m.await(event.Alerts, event.GroupNotifier)
}
