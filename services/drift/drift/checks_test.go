package drift_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
	"github.com/driftmesh/driftmesh/services/drift/internal/drifttest"
)

// traceStore is trace-store, as far as drift asks it.
type traceStore struct {
	tracev1.TraceServiceClient
	mu    sync.Mutex
	away  bool
	links map[string]string // record to trace
	spans map[string][]*tracepb.Span
	reads int
}

func (s *traceStore) LinkTraces(_ context.Context, req *tracev1.LinkTracesRequest, _ ...grpc.CallOption) (*tracev1.LinkTracesResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, fault.Unavailable.New("away")
	}
	resp := &tracev1.LinkTracesResponse{}
	for _, v := range req.GetValues() {
		if trace, ok := s.links[v]; ok && req.GetAttribute() == "record.id" {
			resp.Links = append(resp.Links, &tracev1.TraceLink{Value: v, TraceId: trace})
		}
	}
	return resp, nil
}

type traceStream struct {
	grpc.ClientStream
	parts []*tracev1.GetTraceResponse
}

func (s *traceStream) Recv() (*tracev1.GetTraceResponse, error) {
	if len(s.parts) == 0 {
		return nil, io.EOF
	}
	part := s.parts[0]
	s.parts = s.parts[1:]
	return part, nil
}

func (s *traceStore) GetTrace(_ context.Context, req *tracev1.GetTraceRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[tracev1.GetTraceResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	spans, ok := s.spans[req.GetTraceId()]
	switch {
	case s.away:
		return nil, fault.Unavailable.New("away")
	case !ok:
		return nil, fault.NotFound.New("there is no such trace")
	}
	stream := &traceStream{}
	for _, span := range spans { // in parts, as a large one comes
		raw, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{span}}}}}})
		if err != nil {
			return nil, err
		}
		stream.parts = append(stream.parts, &tracev1.GetTraceResponse{OtlpTraces: raw})
	}
	return stream, nil
}

func (s *traceStore) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// span is one of a trace, n of its spans.
func span(n, parent byte, start time.Time, took time.Duration) *tracepb.Span {
	out := &tracepb.Span{
		SpanId: []byte{n, 0, 0, 0, 0, 0, 0, 1}, Name: fmt.Sprint("step ", n), StartTimeUnixNano: uint64(start.UnixNano()), EndTimeUnixNano: uint64(start.Add(took).UnixNano()),
		Attributes: []*commonpb.KeyValue{{Key: "n", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(n)}}}},
	}
	if parent > 0 {
		out.ParentSpanId = []byte{parent, 0, 0, 0, 0, 0, 0, 1}
	}
	return out
}

// checkedProfile greets, is fast, and is judged.
func checkedProfile(t testing.TB) *driftv1.Profile {
	t.Helper()
	single := func(name string) profile.Feature {
		return profile.Feature{Name: name, Kind: profile.Numeric, Type: profile.Float, Bins: []profile.Bin{{ID: 1, Lower: math.Inf(-1), Upper: math.Inf(1), Proportion: 1}}}
	}
	p := &profile.Profile{
		Space: "agents", Name: "greeter", Source: &profile.Source{Of: profile.MetricRecords}, Correction: profile.Uncorrected, Schedule: profile.Schedule{Cron: "0 * * * *"},
		Features: []profile.Feature{single("rate"), single("greets"), single("fast"), single("kind")},
		Monitors: []profile.Monitor{{Name: "rate", Detector: "mean_limits", Features: []string{"rate"}, MinSample: 1, Parameters: map[string]float64{"low": 0.9}}},
		Checks: &profile.Checks{Member: "asked", Rate: "rate", TraceMember: "trace", TraceAttribute: "record.id", All: []profile.Check{
			{Name: "greets", Feature: "greets", Of: profile.OfContext, Path: "output", Operator: "contains", Expected: json.RawMessage(`"hello"`)},
			{Name: "fast", Feature: "fast", Of: profile.OfTrace, Value: json.RawMessage(`{"trace_duration":{}}`), Operator: "less_than", Expected: json.RawMessage(`5000`)},
			{Name: "kind", Feature: "kind", Of: profile.OfJudge},
		}},
	}
	p.FillDefaults()
	require.NoError(t, p.Validate())
	m := wire.Message(p)
	m.Active = true
	return m
}

// contexts are records of a minute, up to three of them in one microsecond: those with
// even numbers greet.
func contexts(at time.Time, n int) (all []drifttest.Context) {
	for i := range n {
		output := "go away"
		if i%2 == 0 {
			output = "hello"
		}
		all = append(all, drifttest.Context{
			ID: fmt.Sprintf("record-%03d", i), At: at.Add(time.Duration((i+1)/3)*time.Millisecond + time.Duration(i%3)), Hash: uint64(i+1) << 40,
			JSON: fmt.Sprintf(`{"asked":{"input":"question %d","output":%q}}`, i, output),
		})
	}
	return all
}

// means are the means of the features over all records, and of how many.
func (r *running) means(tenant, ref string, at time.Time) (means map[string]float64, records map[string]uint64) {
	r.t.Helper()
	resp, err := r.Summarize(as(r.t, tenant), &driftv1.SummarizeRequest{
		Profile: ref, StartTime: timestamppb.New(at.Truncate(time.Hour)), EndTime: timestamppb.New(at.Truncate(time.Hour).Add(time.Hour)), Step: durationpb.New(time.Hour),
	})
	require.NoError(r.t, err)
	means, records = map[string]float64{}, map[string]uint64{}
	for _, step := range resp.GetSteps() {
		for _, f := range step.GetFeatures() {
			if f.GetNumber() > 0 {
				means[f.GetName()], records[f.GetName()] = f.GetMean(), f.GetNumber()
			}
		}
	}
	return means, records
}

// checked lists the records of a profile in a state, over as many pages as there are.
func (r *running) checked(tenant, ref string, state driftv1.CheckState) (all []*driftv1.CheckedRecord) {
	r.t.Helper()
	for token := ""; ; {
		page, err := r.ListCheckedRecords(as(r.t, tenant), &driftv1.ListCheckedRecordsRequest{Profile: ref, State: state, PageSize: 10, PageToken: token, Contexts: true})
		require.NoError(r.t, err)
		all = append(all, page.GetRecords()...)
		if token = page.GetNextPageToken(); token == "" {
			return all
		}
	}
}

// Records are checked once each, by however many workers: those whose trace is whole at
// once, and the others when nobody waits for theirs any longer; then what needs a trace
// is not run, and fails nobody.
func TestRecordsAreCheckedOnceEach(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	at := noon.Add(2 * time.Minute)
	traces := &traceStore{links: map[string]string{}, spans: map[string][]*tracepb.Span{}}
	for i, took := range []time.Duration{time.Second, time.Minute} { // one is fast, the other is not
		id := fmt.Sprintf("%032d", i+1)
		traces.links[fmt.Sprintf("record-%03d", i)] = id
		traces.spans[id] = []*tracepb.Span{span(2, 1, at.Add(-time.Minute), took/2), span(1, 0, at.Add(-time.Minute), took)}
	}
	m.traces = traces
	r := m.run()
	m.run() // a second worker
	made, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{Profile: checkedProfile(t)})
	require.NoError(t, err)
	require.Equal(t, []string{"check kind needs a language model: it is not run, and fails nobody"}, made.GetWarnings())
	uid := made.GetProfile().GetUid()
	require.NoError(t, drifttest.Contexts(t.Context(), m.db, "acme", uuid.MustParse(uid), contexts(at, 27)))
	require.NoError(t, drifttest.Contexts(t.Context(), m.db, "other", uuid.New(), contexts(at, 3)))
	m.clock.set(at.Add(30 * time.Second))
	m.touch("acme", uid, at.Unix()/60)
	require.Eventually(t, func() bool { return len(r.checked("acme", uid, driftv1.CheckState_CHECK_STATE_DONE)) == 2 }, patience, 50*tick)
	pending := r.checked("acme", uid, driftv1.CheckState_CHECK_STATE_PENDING)
	require.Len(t, pending, 25)
	require.Equal(t, "record-026", pending[0].GetRecordId(), "the newest first")
	require.JSONEq(t, contexts(at, 27)[26].JSON, pending[0].GetContextJson())

	m.clock.set(at.Add(3 * time.Minute)) // they waited for long enough
	require.Eventually(t, func() bool { return len(r.checked("acme", uid, driftv1.CheckState_CHECK_STATE_DONE)) == 27 }, patience, 50*tick)
	for range 3 { // and again, which changes nothing
		m.touch("acme", uid, at.Unix()/60)
		m.await(event.Windows, event.GroupDrift)
	}
	means, records := r.means("acme", uid, at)
	require.Equal(t, map[string]uint64{"rate": 27, "greets": 27, "fast": 2}, records)
	require.InDelta(t, 14./27, means["greets"], 1e-12)
	require.InDelta(t, .5, means["fast"], 1e-12)
	require.InDelta(t, 14./27, means["rate"], 1e-12, "0: both; 1: neither; of the others what greets")

	found, err := r.ListCheckedRecords(as(t, "acme"), &driftv1.ListCheckedRecordsRequest{RecordId: "record-001"})
	require.NoError(t, err)
	require.Len(t, found.GetRecords(), 1)
	one := found.GetRecords()[0]
	require.Equal(t, traces.links["record-001"], one.GetTraceId())
	require.Equal(t, []uint32{0, 2}, []uint32{one.GetPassed(), one.GetFailed()})
	require.Equal(t, "60000", one.GetResults()[1].GetActualJson())
	judged := one.GetResults()[2]
	require.Equal(t, driftv1.CheckOutcome_CHECK_OUTCOME_NOT_RUN, judged.GetOutcome())
	require.Contains(t, judged.GetMessage(), "language model")
	found, err = r.ListCheckedRecords(as(t, "other"), &driftv1.ListCheckedRecordsRequest{RecordId: "record-001"})
	require.NoError(t, err)
	require.Empty(t, found.GetRecords(), "of another tenant")

	// The alert of the profile's schedule.
	m.clock.set(noon.Add(61 * time.Minute))
	require.Eventually(t, func() bool { return len(r.alerts("acme", true)) == 1 }, patience, 50*tick)
	require.InDelta(t, 14./27, r.alerts("acme", true)[0].GetMoved()[0].GetValue(), 1e-9)
}

// counter is what a counter with one label stands at.
func (r *running) counter(name, label string) (n int) {
	r.t.Helper()
	families, err := r.stats.Gather()
	require.NoError(r.t, err)
	for _, f := range families {
		for _, c := range f.GetMetric() {
			if f.GetName() == name && c.GetLabel()[0].GetValue() == label {
				n += int(c.GetCounter().GetValue())
			}
		}
	}
	return n
}

// A record waits while its trace is not whole, and for as long as the store of traces is
// away, whatever the limit; one that is sent again with other content is checked again.
func TestRecordsWaitForTheirTraces(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	at := noon.Add(-2 * time.Minute)
	id := hex.EncodeToString(uuid.New().NodeID()) + "00000000000000000001"
	traces := &traceStore{away: true, spans: map[string][]*tracepb.Span{id: {span(2, 1, at, time.Second)}}} // its root is still missing
	m.traces = traces
	r := m.run()
	made, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{Profile: checkedProfile(t)})
	require.NoError(t, err)
	uid := made.GetProfile().GetUid()
	record := drifttest.Context{ID: "a", At: at, Hash: 1 << 40, JSON: fmt.Sprintf(`{"asked":{"output":"hello"},"trace":%q}`, id)}
	require.NoError(t, drifttest.Contexts(t.Context(), m.db, "acme", uuid.MustParse(uid), []drifttest.Context{record}))
	m.clock.set(noon.Add(time.Hour)) // far beyond the limit
	m.touch("acme", uid, at.Unix()/60)
	waited := func(n int) func() bool {
		return func() bool { return r.counter("driftmesh_drift_records_checked_total", "waiting") >= n }
	}
	require.Eventually(t, waited(1), patience, tick)
	require.Len(t, r.checked("acme", uid, driftv1.CheckState_CHECK_STATE_PENDING), 1)

	// It comes back, and the trace is not whole: the record came an hour ago, and is
	// judged by what there is.
	traces.set(func() { traces.away = false })
	m.clock.set(noon.Add(2 * time.Hour))
	require.Eventually(t, func() bool { return len(r.checked("acme", uid, driftv1.CheckState_CHECK_STATE_DONE)) == 1 }, patience, 50*tick)

	// A newer one waits for the root.
	later := m.clock.Now()
	traces.set(func() { traces.spans[id] = []*tracepb.Span{span(2, 1, later, time.Second)} })
	record.ID, record.At = "b", later
	require.NoError(t, drifttest.Contexts(t.Context(), m.db, "acme", uuid.MustParse(uid), []drifttest.Context{record}))
	before := r.counter("driftmesh_drift_records_checked_total", "waiting")
	m.touch("acme", uid, later.Unix()/60)
	require.Eventually(t, waited(before+1), patience, tick)
	traces.set(func() { traces.spans[id] = append(traces.spans[id], span(1, 0, later, 6*time.Second)) })
	m.clock.set(later.Add(20 * time.Second))
	require.Eventually(t, func() bool { return len(r.checked("acme", uid, driftv1.CheckState_CHECK_STATE_DONE)) == 2 }, patience, 50*tick)
	means, records := r.means("acme", uid, later)
	require.Equal(t, uint64(1), records["fast"])
	require.Zero(t, means["fast"], "the root took 6 s")

	// The same record says something else: the greater hash is the record.
	record.Hash, record.JSON = 2<<40, fmt.Sprintf(`{"asked":{"output":"go away"},"trace":%q}`, id)
	require.NoError(t, drifttest.Contexts(t.Context(), m.db, "acme", uuid.MustParse(uid), []drifttest.Context{record}))
	m.touch("acme", uid, later.Unix()/60)
	require.Eventually(t, func() bool {
		means, records := r.means("acme", uid, later)
		return means["greets"] == 0 && records["greets"] == 1
	}, patience, 50*tick)
}

// A trace of many records is read once for all of them.
func TestATraceIsReadOnce(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	at, id := noon.Add(-2*time.Minute), fmt.Sprintf("%032d", 1)
	traces := &traceStore{spans: map[string][]*tracepb.Span{id: {span(1, 0, at, time.Second)}}}
	m.traces = traces
	r := m.run()
	made, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{Profile: checkedProfile(t)})
	require.NoError(t, err)
	uid, all := made.GetProfile().GetUid(), contexts(at, 20)
	for i := range all {
		all[i].JSON = fmt.Sprintf(`{"asked":{"output":"hello"},"trace":%q}`, id)
	}
	require.NoError(t, drifttest.Contexts(t.Context(), m.db, "acme", uuid.MustParse(uid), all))
	m.clock.set(noon.Add(time.Minute))
	m.touch("acme", uid, at.Unix()/60)
	require.Eventually(t, func() bool { return len(r.checked("acme", uid, driftv1.CheckState_CHECK_STATE_DONE)) == 20 }, patience, 50*tick)
	_, records := r.means("acme", uid, at)
	require.Equal(t, uint64(20), records["fast"])
	traces.set(func() { require.Equal(t, 1, traces.reads) })
}

// What can never be run is refused when it is registered.
func TestChecksThatCannotBeRunAreRefused(t *testing.T) {
	t.Parallel()
	r := newMesh(t).run()
	for name, spoil := range map[string]func(c *driftv1.Checks){
		"operator": func(c *driftv1.Checks) { c.All[0].Operator = "smells_of" },
		"value":    func(c *driftv1.Checks) { c.All[1].ValueJson = `{"trace_colour":{}}` },
		"circle":   func(c *driftv1.Checks) { c.All[0].DependsOn, c.All[1].DependsOn = []string{"fast"}, []string{"greets"} },
		"nobody":   func(c *driftv1.Checks) { c.All[0].DependsOn = []string{"nobody"} },
		"feature":  func(c *driftv1.Checks) { c.All[0].Feature = "nothing" },
	} {
		p := checkedProfile(t)
		spoil(p.Checks)
		_, err := r.CreateProfile(as(t, "acme"), &driftv1.CreateProfileRequest{Profile: p})
		require.ErrorIs(t, err, fault.Invalid, name)
	}
}
