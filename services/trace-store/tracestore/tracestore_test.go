package tracestore_test

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	otlpv1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/fault"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

// random makes n requests and says which spans they hold.
func random(n int, seed uint64) (data []*otlpv1.TracesData, spans []*otlpv1.ResourceSpans) {
	r := rand.New(rand.NewPCG(seed, 1))
	for range n {
		data = append(data, tracetest.Random(r))
	}
	return data, tracetest.Canonical(data...)
}

// requireStored checks that the tenant's store holds these spans, once and
// equal.
func (r *running) requireStored(tenant string, want []*otlpv1.ResourceSpans) {
	r.t.Helper()
	var read []*otlpv1.TracesData
	seen := map[string]bool{}
	for _, rs := range want {
		id := hex.EncodeToString(rs.ScopeSpans[0].Spans[0].TraceId)
		if seen[id] {
			continue
		}
		seen[id] = true
		data, err := r.trace(tenant, id)
		require.NoError(r.t, err)
		read = append(read, data)
	}
	got := tracetest.Canonical(read...)
	require.Len(r.t, got, len(want))
	for i := range want {
		require.True(r.t, proto.Equal(want[i], got[i]), "span %d differs:\nwant %v\ngot  %v", i, want[i], got[i])
	}
}

func TestSpansThroughTheBroker(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	data, want := random(20, 1)
	for _, d := range data {
		m.publish(m.message("acme", d))
	}
	settled := r.written("acme", len(want))
	r.requireStored("acme", want)
	require.Equal(t, "spans", settled.GetSignal())
	require.Equal(t, uint64(len(want)), settled.GetStored())
	require.Len(t, settled.GetInstances(), 1)
	require.Equal(t, "door", settled.GetInstances()[0].GetInstance())
	require.Equal(t, uint64(20), settled.GetInstances()[0].GetMessages())
	require.Equal(t, uint64(len(want)), settled.GetInstances()[0].GetAccepted())
}

// TestTwiceIsOnce: redelivered messages, requests that a client sent again, and
// all of it shuffled, change no answer.
func TestTwiceIsOnce(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	data, want := random(15, 2)
	var msgs []broker.Message
	for _, d := range data {
		first, again := m.message("acme", d), m.message("acme", d) // again: the client's retry
		msgs = append(msgs, first, first, again)
	}
	rand.New(rand.NewPCG(9, 9)).Shuffle(len(msgs), func(i, j int) { msgs[i], msgs[j] = msgs[j], msgs[i] })
	for chunk := range slices.Chunk(msgs, 7) {
		m.publish(chunk...)
		time.Sleep(2 * time.Millisecond) // beyond the topic's window of de-duplication
	}
	settled := r.written("acme", 2*len(want))
	require.Equal(t, uint64(len(want)), settled.GetStored())
	require.Equal(t, uint64(30), settled.GetInstances()[0].GetMessages())
	r.requireStored("acme", want)

	var rows uint64
	require.NoError(t, m.db.QueryRow(t.Context(), "SELECT count() FROM otel_traces WHERE Tenant = 'acme'").Scan(&rows))
	require.Equal(t, uint64(len(want)), rows)
}

func TestTenantsAreApart(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	data, want := random(5, 3)
	for _, d := range data {
		m.publish(m.message("acme", d))
	}
	r.written("acme", len(want))
	id := hex.EncodeToString(want[0].ScopeSpans[0].Spans[0].TraceId)

	_, err := r.trace("other", id)
	require.ErrorIs(t, err, fault.NotFound)
	found, err := r.traces().SearchTraces(as("other"), &tracev1.SearchTracesRequest{})
	require.NoError(t, err)
	require.Empty(t, found.GetTraces())
	services, err := r.traces().ListServices(as("other"), &tracev1.ListServicesRequest{})
	require.NoError(t, err)
	require.Empty(t, services.GetServices())
	settled := r.settled("other")
	require.Zero(t, settled.GetStored())
	require.Empty(t, settled.GetInstances())

	// The same ids of another tenant are other spans.
	m.publish(m.message("other", data[0]))
	n := len(tracetest.Canonical(data[0]))
	require.Equal(t, uint64(n), r.written("other", n).GetStored())
	require.Equal(t, uint64(len(want)), r.settled("acme").GetStored())
}

func TestBadSpansAndMessages(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	data, _ := random(1, 5)
	for len(tracetest.Canonical(data[0])) < 3 {
		data, _ = random(1, rand.Uint64())
	}
	spans := tracetest.Canonical(data[0])
	spans[0].ScopeSpans[0].Spans[0].TraceId = []byte("short")
	mixed := m.message("acme", data[0])

	nonsense := m.message("acme", data[0])
	nonsense.Value = []byte("\xff\xff\xffnot protobuf")
	foreign := m.message("acme", data[0])
	for i := range foreign.Headers {
		if foreign.Headers[i].Key == "driftmesh-type" {
			foreign.Headers[i].Value = []byte("records.v1")
		}
	}
	good, want := random(3, 7)
	m.publish(mixed, nonsense, foreign)
	for _, d := range good {
		m.publish(m.message("acme", d))
	}
	n := uint64(len(spans))
	settled := r.written("acme", len(spans)-1+len(want))
	r.requireStored("acme", want)
	require.Eventually(t, func() bool {
		settled = r.settled("acme")
		return len(settled.GetInstances()[0].GetDeadLettered()) == 2
	}, patience, tick)
	i := settled.GetInstances()[0]
	require.True(t, proto.Equal(&ledgerv1.InstanceSettled{
		Instance: "door", Messages: 6, Accepted: 3*n + uint64(len(want)), Written: n - 1 + uint64(len(want)),
		Rejected: map[string]uint64{"trace_id_length": 1}, DeadLettered: map[string]uint64{"decode": n, "schema": n},
	}, i), "%v", i)
}

// TestEngineDies: the engine is killed again and again while spans are written;
// in the end everything is there, once.
func TestEngineDies(t *testing.T) {
	m := newMesh(t)
	engine := clickhousetest.Engine(t)
	if engine == nil {
		t.Skip("the ClickHouse of this run is not ours to kill")
	}
	r := m.run()
	data, want := random(60, 11)
	for i, d := range data {
		m.publish(m.message("acme", d))
		if i%20 == 10 {
			kill(t, engine)
		}
		time.Sleep(5 * time.Millisecond) // so that some are written before each kill
	}
	require.NoError(t, engine.Ready(t.Context()))
	settled := r.written("acme", len(want))
	require.Equal(t, uint64(len(want)), settled.GetStored())
	require.Equal(t, uint64(60), settled.GetInstances()[0].GetMessages())
	r.requireStored("acme", want)
}
