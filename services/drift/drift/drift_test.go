package drift_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/services/drift/internal/drifttest"
)

// golden is what the score package's script computed without driftmesh.
type golden map[string]struct {
	Samples map[string]struct {
		Counts        []uint64
		Contributions []float64
		PSI           float64
	}
}

func expected(t *testing.T) golden {
	t.Helper()
	text, err := os.ReadFile("../internal/score/testdata/wine.json")
	require.NoError(t, err)
	var want golden
	require.NoError(t, json.Unmarshal(text, &want))
	return want
}

func create(t *testing.T, r *running, tenant string, p *driftv1.Profile) *driftv1.Profile {
	t.Helper()
	resp, err := r.CreateProfile(as(t, tenant), &driftv1.CreateProfileRequest{Profile: p})
	require.NoError(t, err)
	return resp.GetProfile()
}

// The index of the shipped data equals the reference mathematics, and is the
// same to the last digit with 1, 2 and 7 workers, shuffled and duplicated.
func TestSameDigitsWithAnyNumberOfWorkers(t *testing.T) {
	want := expected(t)
	var digits []*driftv1.Score
	for _, workers := range []int{1, 2, 7} {
		m := newMesh(t)
		r := m.run()
		for range workers - 1 {
			m.run()
		}
		p := create(t, r, "acme", wineProfile(t))
		first := noon.Unix()/60 - 10
		records := wineRecords(t, "w", first, 9, strong)
		records = append(records, records[:100]...)
		slices.SortFunc(records, func(a, b drifttest.Record) int { return strings.Compare(a.ID[len(a.ID)-1:], b.ID[len(b.ID)-1:]) })
		for batch := range slices.Chunk(records, 40) {
			m.store("acme", p.GetUid(), batch)
		}
		resp, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{
			Profile: "examples/wine", StartTime: timestamppb.New(time.Unix(first*60, 0)), EndTime: timestamppb.New(noon),
		})
		require.NoError(t, err)
		got := resp.GetEvaluation()
		require.EqualValues(t, 203, got.GetRecords())
		require.Len(t, got.GetScores(), 12)
		for _, s := range got.GetScores() {
			w := want[s.GetFeature()].Samples["moved"]
			require.Equal(t, "shape", s.GetMonitor())
			require.EqualValues(t, 800, s.GetReference())
			require.InDelta(t, w.PSI, s.GetValue(), 1e-9, s.GetFeature())
			require.EqualValues(t, 203, s.GetSample())
			require.Equal(t, driftv1.Verdict_VERDICT_DRIFT == s.GetVerdict(), s.GetValue() > s.GetThreshold())
			for i, b := range s.GetBins() {
				require.Equal(t, w.Counts[i], b.GetCount())
				require.InDelta(t, w.Contributions[i], b.GetContribution(), 1e-9)
			}
		}
		if digits == nil {
			digits = got.GetScores()
		}
		for i := range digits {
			require.True(t, proto.Equal(digits[i], got.GetScores()[i]), "%d workers: %s differs", workers, digits[i].GetFeature())
		}
		exemplars := got.GetScores()[10].GetBins()[9].GetExemplars()
		require.Len(t, exemplars, 4)
		require.Len(t, exemplars[0].GetTraceId(), 32)
		require.Empty(t, r.alerts("acme", false), "an evaluation that was asked for raises nothing")
	}
}

func TestScheduleRaisesRepeatsAndResolves(t *testing.T) {
	m := newMesh(t)
	var console syncBuffer
	m.log = slog.New(slog.NewTextHandler(&console, nil))
	r := m.run()
	p := create(t, r, "acme", wineProfile(t))
	slot := func(hour int) time.Time { return noon.Add(time.Duration(hour) * time.Hour) }
	pass := func(hour int) *driftv1.Evaluation {
		m.clock.set(slot(hour).Add(6 * time.Second))
		require.Eventually(t, func() bool { return len(r.scores("acme", p.GetUid())) == hour }, patience, tick)
		e := r.scores("acme", p.GetUid())[0]
		require.Equal(t, slot(hour), e.GetSlot().AsTime())
		require.Equal(t, slot(hour-1), e.GetStartTime().AsTime())
		require.Equal(t, slot(hour), e.GetEndTime().AsTime())
		return e
	}
	minute := func(hour int) int64 { return slot(hour).Unix()/60 - 30 }

	m.store("acme", p.GetUid(), wineRecords(t, "a", minute(1), 5, all))
	e := pass(1)
	require.EqualValues(t, 799, e.GetRecords())
	require.Empty(t, r.alerts("acme", false))

	m.store("acme", p.GetUid(), wineRecords(t, "b", minute(2), 5, strong))
	pass(2)
	var open []*driftv1.Alert
	require.Eventually(t, func() bool { open = r.alerts("acme", true); return len(open) > 0 }, patience, tick)
	require.Len(t, open, 1, "one for all that moved")
	raised := open[0]
	require.EqualValues(t, 1, raised.GetOccurrences())
	require.NotEmpty(t, raised.GetExemplarTraceIds())
	require.Contains(t, raised.GetLink(), raised.GetExemplarTraceIds()[0])
	require.Equal(t, "examples/wine/0.1.0", raised.GetProfileName())
	require.Equal(t, "shape", raised.GetMonitor())
	require.Equal(t, driftv1.Severity_SEVERITY_WARNING, raised.GetSeverity())
	want, moved := expected(t), 0
	for name := range want {
		if want[name].Samples["moved"].PSI > 0.1 {
			moved++
		}
	}
	require.EqualValues(t, moved, raised.GetMovedCount())
	require.Len(t, raised.GetMoved(), moved)
	require.Equal(t, "alcohol", raised.GetMoved()[0].GetFeature(), "the worst first")
	for _, s := range raised.GetMoved() {
		require.InDelta(t, want[s.GetFeature()].Samples["moved"].PSI, s.GetValue(), 1e-9)
	}

	// The same again is the same alert, and people are not told twice.
	m.store("acme", p.GetUid(), wineRecords(t, "c", minute(3), 5, strong))
	pass(3)
	require.Eventually(t, func() bool { return r.alerts("acme", true)[0].GetOccurrences() == 2 }, patience, tick)
	require.Equal(t, raised.GetId(), r.alerts("acme", true)[0].GetId())
	require.Equal(t, slot(3).Add(6*time.Second), r.alerts("acme", true)[0].GetRepeatTime().AsTime())

	// Nothing to judge by: nothing changes.
	require.Equal(t, driftv1.Verdict_VERDICT_INSUFFICIENT, pass(4).GetScores()[0].GetVerdict())
	require.Len(t, r.alerts("acme", true), 1)

	m.store("acme", p.GetUid(), wineRecords(t, "d", minute(5), 5, all))
	pass(5)
	require.Eventually(t, func() bool { return len(r.alerts("acme", true)) == 0 }, patience, tick)
	closed := r.alerts("acme", false)
	require.Len(t, closed, 1)
	require.NotNil(t, closed[0].GetResolveTime())

	m.await(event.Alerts, event.GroupNotifier)
	require.Eventually(t, func() bool {
		return strings.Count(console.String(), "drift in examples/wine/0.1.0 is over (monitor shape)") == 1
	}, patience, tick)
	require.Equal(t, 1, strings.Count(console.String(), fmt.Sprintf("drift in examples/wine/0.1.0 raised (monitor shape): %d features moved: alcohol psi_scouter", moved)))
	require.Zero(t, strings.Count(console.String(), "repeated"))
}

// syncBuffer is a buffer for a log that goroutines share.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A slot whose evaluation fails stays due, and its range is not skipped; and
// several workers evaluate each slot once.
func TestFailedSlotIsRetried(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	m.run()
	p := create(t, r, "acme", wineProfile(t))
	m.store("acme", p.GetUid(), wineRecords(t, "a", noon.Unix()/60+10, 5, strong))
	require.Eventually(t, func() bool { return m.count("SELECT count() FROM cells") > 0 }, patience, tick)
	require.NoError(t, m.db.Exec(t.Context(), "RENAME TABLE monitor_scores TO hidden"))
	m.clock.set(noon.Add(time.Hour + 6*time.Second))
	require.Eventually(t, func() bool { return r.attempts(p.GetUid()) > 0 }, patience, tick)
	require.Empty(t, r.alerts("acme", false))
	require.NoError(t, m.db.Exec(t.Context(), "RENAME TABLE hidden TO monitor_scores"))
	require.Eventually(t, func() bool {
		m.clock.set(m.clock.Now().Add(time.Second))
		return len(r.scores("acme", p.GetUid())) == 1
	}, patience, tick)
	e := r.scores("acme", p.GetUid())[0]
	require.Equal(t, noon.Add(time.Hour), e.GetSlot().AsTime())
	require.EqualValues(t, 203, e.GetRecords())
	require.Eventually(t, func() bool { return len(r.alerts("acme", true)) > 0 }, patience, tick)
	for _, a := range r.alerts("acme", true) {
		require.EqualValues(t, 1, a.GetOccurrences())
	}
}

func (m *mesh) count(query string) (n uint64) {
	require.NoError(m.t, m.db.QueryRow(m.t.Context(), query).Scan(&n))
	return n
}

// attempts is how often the next slot of a profile has failed.
func (r *running) attempts(profile string) (n int) {
	require.NoError(r.t, r.state.QueryRow(r.t.Context(), "SELECT attempts FROM schedules WHERE profile = ?", profile).Scan(&n))
	return n
}

// Missed slots are all made up for, each with its own range.
func TestMissedSlotsAreMadeUpFor(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := create(t, r, "acme", wineProfile(t))
	r.end()
	m.clock.set(noon.Add(5*time.Hour + time.Minute))
	r = m.run()
	require.Eventually(t, func() bool { return len(r.scores("acme", p.GetUid())) == 5 }, patience, tick)
	for i, e := range r.scores("acme", p.GetUid()) {
		require.Equal(t, noon.Add(time.Duration(5-i)*time.Hour), e.GetSlot().AsTime())
		require.Equal(t, e.GetSlot().AsTime().Add(-time.Hour), e.GetStartTime().AsTime())
		for _, s := range e.GetScores() {
			require.Equal(t, driftv1.Verdict_VERDICT_INSUFFICIENT, s.GetVerdict())
		}
	}
}

func TestWindowsAreEvaluatedAsTheyClose(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	of := wineProfile(t)
	of.Schedule.OnClose, of.Schedule.Lookback = true, durationpb.New(3*time.Minute)
	p := create(t, r, "acme", of)
	minute := noon.Unix() / 60
	m.store("acme", p.GetUid(), wineRecords(t, "a", minute, 1, strong))
	require.Eventually(t, func() bool { return m.count("SELECT sum(Records) FROM cells FINAL WHERE Feature = 0") == 203 }, patience, tick)
	require.Empty(t, r.scores("acme", p.GetUid()), "the window is still open")
	m.clock.set(noon.Add(66 * time.Second))
	require.Eventually(t, func() bool { return len(r.scores("acme", p.GetUid())) == 1 }, patience, tick)
	e := r.scores("acme", p.GetUid())[0]
	require.Equal(t, noon.Add(time.Minute), e.GetSlot().AsTime())
	require.Equal(t, noon.Add(-2*time.Minute), e.GetStartTime().AsTime())
	require.EqualValues(t, 203, e.GetRecords())
	require.Eventually(t, func() bool { return len(r.alerts("acme", true)) > 0 }, patience, tick)

	// Late records: the window is evaluated again and its result replaced.
	m.store("acme", p.GetUid(), wineRecords(t, "late", minute, 1, all))
	m.clock.set(noon.Add(80 * time.Second))
	require.Eventually(t, func() bool {
		all := r.scores("acme", p.GetUid())
		return len(all) == 1 && all[0].GetRecords() == 1002
	}, patience, tick)
	require.Len(t, r.alerts("acme", false), 1)
	require.Eventually(t, func() bool { return m.waiting(r) == 0 }, patience, tick)
}

func (m *mesh) waiting(r *running) (n int) {
	require.NoError(m.t, r.state.QueryRow(m.t.Context(), "SELECT COUNT(*) FROM windows WHERE touched > done").Scan(&n))
	return n
}

func TestAlertsCanBeAskedForAndAcknowledged(t *testing.T) {
	m := newMesh(t)
	var console syncBuffer
	m.log = slog.New(slog.NewTextHandler(&console, nil))
	r := m.run()
	p := create(t, r, "acme", wineProfile(t))
	m.store("acme", p.GetUid(), wineRecords(t, "a", noon.Unix()/60-5, 5, strong))
	for range 2 { // the same evaluation twice raises once
		_, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: p.GetUid(), Alert: true})
		require.NoError(t, err)
	}
	open := r.alerts("acme", true)
	require.NotEmpty(t, open)
	require.EqualValues(t, 1, open[0].GetOccurrences())
	first, err := r.AcknowledgeAlert(as(t, "acme"), &driftv1.AcknowledgeAlertRequest{Id: open[0].GetId()})
	require.NoError(t, err)
	require.Equal(t, "ada", first.GetAlert().GetAcknowledgedBy())
	require.Equal(t, noon, first.GetAlert().GetAcknowledgeTime().AsTime())
	m.clock.set(noon.Add(time.Minute))
	again, err := r.AcknowledgeAlert(as(t, "acme"), &driftv1.AcknowledgeAlertRequest{Id: open[0].GetId()})
	require.NoError(t, err)
	require.True(t, proto.Equal(first, again), "the first one counts")
	require.Eventually(t, func() bool { return strings.Count(console.String(), "acknowledged") == 1 }, patience, tick)

	_, err = r.AcknowledgeAlert(as(t, "other"), &driftv1.AcknowledgeAlertRequest{Id: open[0].GetId()})
	require.ErrorIs(t, err, fault.NotFound)
	require.Empty(t, r.alerts("other", false))
}

// While the broker is away news wait in the outbox; then they are told, once.
func TestNewsOutliveTheBroker(t *testing.T) {
	m := newMesh(t)
	var console syncBuffer
	m.log = slog.New(slog.NewTextHandler(&console, nil))
	r := m.run()
	m.run()
	p := create(t, r, "acme", wineProfile(t))
	m.store("acme", p.GetUid(), wineRecords(t, "a", noon.Unix()/60-5, 5, strong))
	m.server.Down()
	_, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: p.GetUid(), Alert: true})
	require.NoError(t, err)
	open := len(r.alerts("acme", true))
	require.NotZero(t, open)
	require.Zero(t, strings.Count(console.String(), " raised ("))
	m.server.Up()
	require.Eventually(t, func() bool { return strings.Count(console.String(), " raised (") == open }, patience, tick)
	m.await(event.Alerts, event.GroupNotifier)
	require.Equal(t, open, strings.Count(console.String(), " raised ("), "two workers empty one outbox")
}

func TestPagesOfAlertsAndScores(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	of := wineProfile(t)
	for i := range 4 {
		of.Monitors = append(of.Monitors, &driftv1.Monitor{Name: fmt.Sprint("more", i), Detector: "psi"})
	}
	p := create(t, r, "acme", of)
	m.store("acme", p.GetUid(), wineRecords(t, "a", noon.Unix()/60-5, 5, strong))
	_, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: p.GetUid(), Alert: true})
	require.NoError(t, err)
	whole := r.alerts("acme", false)
	require.Len(t, whole, 5)
	var ids []string
	for token := ""; ; {
		resp, err := r.ListAlerts(as(t, "acme"), &driftv1.ListAlertsRequest{Profile: "examples/wine", PageSize: 2, PageToken: token})
		require.NoError(t, err)
		for _, a := range resp.GetAlerts() {
			ids = append(ids, a.GetId())
		}
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	for _, garbage := range []string{"garbage", "{" + ids[0][1:], strings.ReplaceAll(ids[0], "-", "")} {
		_, err := r.ListAlerts(as(t, "acme"), &driftv1.ListAlertsRequest{PageToken: garbage})
		require.ErrorContains(t, err, "page_token: not one that was given out")
		_, err = r.ListProfiles(as(t, "acme"), &driftv1.ListProfilesRequest{PageToken: garbage})
		require.ErrorContains(t, err, "page_token: not one that was given out")
		_, err = r.ListProfileStatuses(as(t, "acme"), &driftv1.ListProfileStatusesRequest{PageToken: garbage})
		require.ErrorContains(t, err, "page_token: not one that was given out")
		_, err = r.ListDeliveries(as(t, "acme"), &driftv1.ListDeliveriesRequest{PageToken: garbage})
		require.ErrorContains(t, err, "page_token: not one that was given out")
		_, err = r.ListSilences(as(t, "acme"), &driftv1.ListSilencesRequest{PageToken: garbage})
		require.ErrorContains(t, err, "page_token: not one that was given out")
	}
	require.Len(t, ids, len(whole))
	require.True(t, slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }))

	m.clock.set(noon.Add(3*time.Hour + time.Minute))
	require.Eventually(t, func() bool { return len(r.scores("acme", p.GetUid())) == 3 }, patience, tick)
	var slots []time.Time
	for token := ""; ; {
		resp, err := r.ListScores(as(t, "acme"), &driftv1.ListScoresRequest{Profile: p.GetUid(), PageSize: 1, PageToken: token})
		require.NoError(t, err)
		for _, e := range resp.GetEvaluations() {
			slots = append(slots, e.GetSlot().AsTime())
			require.Len(t, e.GetScores(), 60)
			require.Equal(t, "shape", e.GetScores()[0].GetMonitor())
			require.Equal(t, "more3", e.GetScores()[59].GetMonitor())
		}
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	require.Equal(t, []time.Time{noon.Add(3 * time.Hour), noon.Add(2 * time.Hour), noon.Add(time.Hour)}, slots)
}

// What cannot be a window message is parked; its neighbours are handled.
func TestBadWindowMessagesAreParked(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	p := create(t, r, "acme", wineProfile(t))
	require.NoError(t, drifttest.Insert(t.Context(), m.db, "acme", uuidOf(p), wineRecords(t, "a", noon.Unix()/60, 1, strong)))
	m.touch("acme", "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11", 1)
	m.touch("other", p.GetUid(), 1)
	m.touch("acme", p.GetUid(), -1)
	m.touch("acme", p.GetUid(), noon.Unix()/60)
	m.await(event.Windows, event.GroupDrift)
	require.Eventually(t, func() bool { return m.count("SELECT count() FROM cells FINAL") == 12 }, patience, tick)
	require.EqualValues(t, 3, m.parked(event.Windows))
}

func uuidOf(p *driftv1.Profile) uuid.UUID { return uuid.MustParse(p.GetUid()) }

// parked counts the dead letters of a topic.
func (m *mesh) parked(topic string) int64 {
	m.t.Helper()
	require.NoError(m.t, m.broker.Admin().EnsureGroup(m.t.Context(), broker.GroupSpec{Topic: broker.DLQ(topic), Name: "look"}))
	lag, err := m.broker.Admin().Lag(m.t.Context(), broker.DLQ(topic), "look")
	require.NoError(m.t, err)
	return lag.Pending
}
