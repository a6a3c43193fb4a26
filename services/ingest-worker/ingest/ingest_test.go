package ingest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/settings"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/ingest"
)

func TestRecordsAreStoredAndWindowsAnnounced(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	metric := &ingestv1.Record{Id: "m", Profile: wine, Body: &ingestv1.Record_Metrics{Metrics: &ingestv1.Metrics{
		Values: []*ingestv1.Metric{{Name: "rmse", Value: 0.5}, {Name: "mae", Value: 1}}}}}
	contexts := &ingestv1.Record{Id: "c", Profile: wine, Body: &ingestv1.Record_Context{Context: &ingestv1.Context{Json: `{"in":1}`}}}
	m.publish(
		m.message("a", record("1", 2, 1), record("2", 0, 2), metric),
		m.message("a", record("3", 2, 3), contexts),
		m.message("b", record("1", 7, 4)))
	m.await()
	require.Equal(t, uint64(3), m.rows("observations", "a"))
	require.Equal(t, uint64(1), m.rows("observations", "b"))
	require.Equal(t, uint64(1), m.rows("contexts", "a"))
	require.Equal(t, uint64(1), m.rows("metric_records", "a"))
	windows := m.windows()
	require.Subset(t, windows["a/"+wine], []int64{minute(0), minute(2)})
	require.Equal(t, []int64{minute(7)}, windows["b/"+wine])
	require.Len(t, windows, 2)
	require.Equal(t, uint64(5), r.settled("a").GetStored())
	require.Equal(t, uint64(1), r.settled("b").GetStored())
	m.drift.mu.Lock()
	require.ElementsMatch(t, []string{"a " + wine + " service", "b " + wine + " service"}, m.drift.asked,
		"each tenant's profile is asked for once, on its behalf")
	m.drift.mu.Unlock()
	require.InDelta(t, 4, counted(t, r, "features"), 0)
}

// counted reads one count of settled records.
func counted(t *testing.T, r *running, outcome string) float64 {
	families, err := r.Stats.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != "driftmesh_ingest_records_total" {
			continue
		}
		for _, c := range f.GetMetric() {
			if c.GetLabel()[0].GetValue() == outcome {
				return c.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestOneBadRecordHurtsNobody(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	wrong := record("x", 0, 1)
	wrong.GetFeatures().Values[0].Name = "sugar"
	garbage := m.message("a", record("g", 0, 1))
	garbage.Value = []byte("hello")
	foreign := m.message("a", record("f", 0, 1))
	for i := range foreign.Headers {
		if foreign.Headers[i].Key == event.HeaderType {
			foreign.Headers[i].Value = []byte("otlp.traces.v1")
		}
	}
	m.publish(
		m.message("a", record("1", 0, 1), wrong, unknown("y"), record("2", 0, 1)),
		garbage, foreign,
		m.message("stranger", record("1", 0, 1)),
		m.message("a", record("3", 0, 1)))
	m.await()
	require.Equal(t, uint64(3), m.rows("observations", "a"))
	require.Zero(t, m.rows("observations", "stranger"), "a profile of another tenant is none")
	got := r.settled("a")
	require.Equal(t, uint64(3), got.GetStored())
	require.Len(t, got.GetInstances(), 1)
	i := got.GetInstances()[0]
	require.Equal(t, map[string]uint64{"unknown_feature": 1, "unknown_profile": 1}, i.GetRejected())
	require.Equal(t, map[string]uint64{"decode": 1, "schema": 1}, i.GetDeadLettered())
	require.Equal(t, uint64(7), i.GetAccepted())
	require.Equal(t, uint64(3), i.GetWritten())
	require.Equal(t, uint64(4), i.GetMessages())
	require.Equal(t, map[string]uint64{"unknown_profile": 1}, r.settled("stranger").GetInstances()[0].GetRejected())
	require.Equal(t, []int64{minute(0)}, m.windows()["a/"+wine])
	lag, err := m.broker.Admin().Lag(t.Context(), event.Records, event.GroupIngest)
	require.NoError(t, err)
	require.Zero(t, lag.Total())
}

// adds checks the settled side of the ledger for one tenant.
func adds(t *testing.T, got *ledgerv1.GetSettledResponse, accepted, stored uint64) {
	t.Helper()
	var sum, written uint64
	for _, i := range got.GetInstances() {
		sum += i.GetAccepted()
		written += i.GetWritten()
		out := i.GetWritten()
		for _, n := range i.GetRejected() {
			out += n
		}
		for _, n := range i.GetDeadLettered() {
			out += n
		}
		require.Equal(t, i.GetAccepted(), out)
	}
	require.Equal(t, accepted, sum)
	require.Equal(t, stored, got.GetStored())
	require.GreaterOrEqual(t, written, stored)
	require.Zero(t, got.GetPendingMessages())
}

// Replays in any order, by one worker or several, change neither a row nor a
// count.
func TestReplaysAndShufflesChangeNothing(t *testing.T) {
	m := newMesh(t)
	var msgs []broker.Message
	var accepted uint64
	for i := range 60 {
		var records []*ingestv1.Record
		for j := range 20 {
			// Every id comes twice or thrice; some with other values or times.
			id := (i*20 + j) % 500
			records = append(records, record(fmt.Sprint(id), id%7+(i%9)/8, float64(id+(i%11)/10)))
		}
		records = append(records, unknown(fmt.Sprint("u", i)))
		accepted += uint64(len(records))
		msgs = append(msgs, m.message("a", records...))
	}
	const fingerprint = `SELECT (count(), groupBitXor(cityHash64(Minute, RecordId, EventTime, Numbers, ContentHash)))::String
		FROM (SELECT Minute, RecordId, EventTime, Numbers, ContentHash FROM observations FINAL WHERE Tenant = 'a')`
	var want, got string
	for round := range 3 {
		rand.Shuffle(len(msgs), func(i, j int) { msgs[i], msgs[j] = msgs[j], msgs[i] })
		m.publish(msgs...)
		if round == 2 { // everything once more, and by two workers
			require.NoError(t, m.server.Replay(event.Records, event.GroupIngest))
			m.run()
		}
		r := m.run()
		m.await()
		adds(t, r.settled("a"), accepted, 500)
		require.NoError(t, m.db.QueryRow(t.Context(), fingerprint).Scan(&got))
		if round == 0 {
			want = got
		}
		require.Equal(t, want, got, "round %d", round)
		r.end()
	}
	var most uint64
	require.NoError(t, m.db.QueryRow(t.Context(), "SELECT max(n) FROM (SELECT count() AS n FROM observation_ids FINAL GROUP BY RecordId)").Scan(&most))
	require.Equal(t, uint64(2), most, "the test has records that moved to another minute")
}

// failing is a broker whose publisher does something before the first
// announcement, and fails it.
type failing struct {
	broker.Broker
	times  atomic.Int32
	before func()
}

func (f *failing) Publisher() (broker.Publisher, error) {
	p, err := f.Broker.Publisher()
	return &failingPublisher{p, f}, err
}

type failingPublisher struct {
	broker.Publisher
	f *failing
}

func (p *failingPublisher) Publish(ctx context.Context, msgs []broker.Message) error {
	if msgs[0].Topic == event.Windows && p.f.times.Add(-1) >= 0 {
		p.f.before()
		return fault.Unavailable.New("the broker has just gone")
	}
	return p.Publisher.Publish(ctx, msgs)
}

func TestTheEngineIsKilledBetweenWriteAndAcknowledgement(t *testing.T) {
	engine := clickhousetest.Engine(t)
	if engine == nil {
		t.Skip("a server given by the environment is not ours to kill")
	}
	m := newMesh(t)
	f := &failing{before: func() { _ = syscall.Kill(engine.PID(), syscall.SIGKILL) }}
	f.times.Store(2)
	m.wrap = func(b broker.Broker) broker.Broker {
		f.Broker = b
		return f
	}
	r := m.run()
	restarts := engine.Restarts()
	const n = 40
	for i := range n {
		m.publish(m.message("a", record(fmt.Sprint(2*i), i, 1), record(fmt.Sprint(2*i+1), i, 1), unknown(fmt.Sprint("u", i))))
	}
	m.await()
	require.GreaterOrEqual(t, engine.Restarts(), restarts+2)
	adds(t, r.settled("a"), 3*n, 2*n)
	require.Equal(t, uint64(2*n), m.rows("observations", "a"))
	seen := map[int64]bool{}
	for _, w := range m.windows()["a/"+wine] {
		seen[w] = true
	}
	require.Len(t, seen, n, "every window is announced after all")
}

// A block that is full in the midst of a message is written in parts, and counts
// as one.
func TestABlockIsBounded(t *testing.T) {
	m := newMesh(t)
	m.bytes = 1 << 10
	r := m.run()
	const n = 1000
	var records []*ingestv1.Record
	for i := range n {
		records = append(records, record(fmt.Sprint(i), i%50, 1))
	}
	m.publish(m.message("a", append(records, unknown("u"))...), m.message("a", records[:10]...))
	m.await()
	adds(t, r.settled("a"), n+11, n)
	require.Equal(t, uint64(n), m.rows("observations", "a"))
	seen := map[int64]bool{}
	for _, w := range m.windows()["a/"+wine] {
		seen[w] = true
	}
	require.Len(t, seen, 50)
}

func TestWhileDriftIsAwayMessagesWait(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	m.publish(m.message("known", record("1", 0, 1)))
	m.await()
	m.drift.setAway(true)
	m.publish(m.message("a", record("1", 0, 1)), m.message("known", record("2", 0, 1)))
	require.Eventually(t, func() bool { return m.rows("observations", "known") == 2 }, patience, tick, "whose profile is known does not wait")
	require.Zero(t, m.rows("observations", "a"))
	m.drift.setAway(false)
	m.await()
	adds(t, r.settled("a"), 1, 1)
	adds(t, r.settled("known"), 2, 2)
}

func TestAStopLosesNothing(t *testing.T) {
	m := newMesh(t)
	const n = 200
	for i := range n {
		m.publish(m.message("a", record(fmt.Sprint(i), i%3, 1)))
	}
	for range 3 {
		m.run().end()
	}
	r := m.run()
	m.await()
	adds(t, r.settled("a"), n, n)
}

func TestATraceGoesOn(t *testing.T) {
	m := newMesh(t)
	m.run()
	traceID := trace.TraceID{0xab, 1}
	msg := m.message("a", record("1", 0, 1))
	msg.Headers = append(msg.Headers, broker.Header{Key: "traceparent", Value: fmt.Appendf(nil, "00-%s-%s-01", traceID, trace.SpanID{7})})
	m.publish(m.message("a", record("0", 0, 1)), msg)
	m.await()
	names := map[string]bool{}
	require.Eventually(t, func() bool {
		for _, s := range m.spans.GetSpans() {
			if s.SpanContext.TraceID() == traceID {
				names[s.Name] = true
			}
		}
		return names["process records"]
	}, patience, tick)
	for _, name := range []string{"dwell records", "process records", "store observations", "announce windows"} {
		require.Contains(t, names, name)
	}
	carried := 0
	for _, d := range m.announcements() {
		if broker.SpanContext(&d.Message).TraceID() == traceID {
			carried++
		}
	}
	require.Equal(t, 1, carried, "drift continues the trace")
}

func TestNobodyUnknownReadsTheLedger(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	_, err := ledgerv1.NewLedgerServiceClient(r.conn).GetSettled(t.Context(), &ledgerv1.GetSettledRequest{})
	require.ErrorIs(t, err, fault.Unauthenticated)
}

func TestSettingsThatCannotWorkAreNamed(t *testing.T) {
	var cfg ingest.Config
	require.NoError(t, settings.Defaults(&cfg))
	require.NoError(t, cfg.Validate())
	err := ingest.Config{}.Validate()
	for _, name := range []string{"messages", "bytes", "linger", "parallel", "drain", "profiles"} {
		require.ErrorContains(t, err, "ingest-worker."+name)
	}
}

// Records that bring no event time and are sent again stay where they were first,
// in whatever order the copies are stored.
func TestSentAgainWithoutATimeStaysInItsMinute(t *testing.T) {
	m := newMesh(t)
	m.run()
	var msgs []broker.Message
	for attempt := range 3 {
		var records []*ingestv1.Record
		for id := range 500 {
			r := record(fmt.Sprint(id), 0, float64(id))
			r.EventTime = nil
			records = append(records, r)
		}
		value, err := proto.Marshal(&eventv1.RecordBatch{Records: records})
		require.NoError(t, err)
		m.seq++
		msgs = append(msgs, envelope.New(event.Records, envelope.Stamp{
			Tenant: "a", Type: event.TypeRecords, Count: len(records), Seq: fmt.Sprintf("gw:%d", m.seq),
			Accepted: start.Add(time.Duration(attempt) * (time.Minute + time.Millisecond)),
		}, value))
	}
	for i := range msgs {
		m.publish(msgs[len(msgs)-1-i])
		m.await()
	}
	var elsewhere uint64
	require.NoError(t, m.db.QueryRow(t.Context(), `SELECT countIf(minute != first) FROM (SELECT argMax(Minute, (ContentHash, Minute)) AS minute, min(Minute) AS first
		FROM observation_ids WHERE Tenant = 'a' GROUP BY RecordId)`).Scan(&elsewhere))
	require.Zero(t, elsewhere, "of 500")
}
