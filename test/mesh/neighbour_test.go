package mesh_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

const (
	// floodFor is how long one tenant floods with everything.
	floodFor = 6 * time.Second
	// bound is how long a request or query of another may take meanwhile, on two
	// busy cores with the race detector, and usual what half of them stay below.
	bound, usual = 5 * time.Second, time.Second

	floodBatch = 100
	floodRate  = 200 // spans and records a second: less than the slowest machine sends
)

// flood is a tenant that sends and asks as fast as it can.
type flood struct {
	t      *testing.T
	m      *mesh.Mesh
	span   atomic.Uint64 // numbers spans
	record atomic.Uint64

	spans, records             atomic.Uint64 // acknowledged
	refusedSpans, refusedBatch atomic.Uint64 // requests
	tails, refusedTails        atomic.Int64
	queries, refusedQueries    atomic.Int64
}

// spansOf makes a request of spans that there were none of before.
func (f *flood) request() *coltracepb.ExportTraceServiceRequest {
	req := oneSpan("noisy", 1)
	spans := req.GetResourceSpans()[0].GetScopeSpans()[0]
	template := spans.GetSpans()[0]
	spans.Spans = nil
	for range floodBatch {
		id := make([]byte, 16)
		binary.BigEndian.PutUint64(id, f.span.Add(1))
		spans.Spans = append(spans.Spans, &tracepb.Span{
			TraceId: id, SpanId: id[:8], Name: "noise", StartTimeUnixNano: template.GetStartTimeUnixNano(), EndTimeUnixNano: template.GetEndTimeUnixNano(),
		})
	}
	return req
}

// refusal requires that an error is a refusal for a limit.
func refusal(t *testing.T, err error) bool {
	st := status.Convert(err)
	return assert.Equal(t, codes.ResourceExhausted, st.Code(), "%v", err) && assert.Contains(t, st.Message(), " of tenant noisy is ")
}

func (f *flood) overGRPC(ctx context.Context) {
	client := coltracepb.NewTraceServiceClient(f.m.Dial(f.t, f.m.OTLPGRPC))
	for ctx.Err() == nil {
		if _, err := client.Export(context.Background(), f.request()); err == nil {
			f.spans.Add(floodBatch)
		} else if refusal(f.t, err) {
			f.refusedSpans.Add(1)
		}
	}
}

func (f *flood) overHTTP(ctx context.Context) {
	for ctx.Err() == nil {
		switch code := f.m.Post(f.t, f.m.OTLPHTTP, "/v1/traces", f.request()); code {
		case http.StatusOK:
			f.spans.Add(floodBatch)
		case http.StatusTooManyRequests:
			f.refusedSpans.Add(1)
		default:
			assert.Fail(f.t, "unexpected status", "%d", code)
		}
	}
}

func (f *flood) withRecords(ctx context.Context, profile string) {
	client := ingestv1.NewIngestServiceClient(f.m.Conn(f.t))
	for ctx.Err() == nil {
		req := &ingestv1.PublishRecordsRequest{}
		for range floodBatch {
			req.Records = append(req.Records, &ingestv1.Record{Profile: profile, Body: &ingestv1.Record_Features{Features: &ingestv1.Features{
				Values: []*ingestv1.Feature{{Name: "age", Value: &ingestv1.Feature_Float{Float: float64(f.record.Add(1) % 60)}}},
			}}})
		}
		if resp, err := client.PublishRecords(context.Background(), req); err == nil {
			f.records.Add(resp.GetAccepted())
		} else if refusal(f.t, err) {
			f.refusedBatch.Add(1)
		}
	}
}

// withTails opens tails that nobody reads.
func (f *flood) withTails(ctx context.Context) {
	client := ingestv1.NewIngestServiceClient(f.m.Conn(f.t))
	for range 40 {
		stream, err := client.Tail(ctx, &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS})
		if err != nil {
			continue
		}
		if head, err := stream.Header(); err == nil && head != nil {
			f.tails.Add(1)
		} else if _, err := stream.Recv(); ctx.Err() == nil && refusal(f.t, err) {
			f.refusedTails.Add(1)
		}
	}
	<-ctx.Done()
}

func (f *flood) withQueries(ctx context.Context) {
	client := tracev1.NewTraceServiceClient(f.m.Conn(f.t))
	for ctx.Err() == nil {
		stream, err := client.QuerySQL(ctx, &tracev1.QuerySQLRequest{Query: "SELECT sum(sipHash64(a.number + b.number)) FROM numbers(3000) a, numbers(3000) b"})
		for err == nil {
			_, err = stream.Recv()
		}
		if ctx.Err() == nil && status.Code(err) == codes.ResourceExhausted {
			f.refusedQueries.Add(1)
		} else {
			f.queries.Add(1)
		}
	}
}

// neighbour is another tenant, that sends and asks now and then.
func (f *flood) neighbour(ctx context.Context, m *mesh.Mesh) (sent int, took []time.Duration) {
	otlp := coltracepb.NewTraceServiceClient(m.Dial(f.t, m.OTLPGRPC))
	traces := tracev1.NewTraceServiceClient(m.Conn(f.t))
	drift := driftv1.NewDriftServiceClient(m.Conn(f.t))
	timed := func(what string, do func(context.Context) error) {
		start := time.Now()
		bounded, cancel := context.WithTimeout(context.Background(), 4*bound)
		defer cancel()
		require.NoError(f.t, do(bounded), what)
		took = append(took, time.Since(start))
	}
	for tick := time.NewTicker(50 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		req := f.request()
		timed("export", func(ctx context.Context) error { _, err := otlp.Export(ctx, req); return err })
		sent += floodBatch
		timed("search", func(ctx context.Context) error {
			_, err := traces.SearchTraces(ctx, &tracev1.SearchTracesRequest{PageSize: 5})
			return err
		})
		timed("profiles", func(ctx context.Context) error {
			_, err := drift.ListProfiles(ctx, &driftv1.ListProfilesRequest{})
			return err
		})
	}
	return sent, took
}

func ageProfile(name, cron string) *driftv1.Profile {
	return &driftv1.Profile{
		Space: "noise", Name: name, Active: true, ReferenceRows: 9, Schedule: &driftv1.Schedule{Cron: cron},
		Features: []*driftv1.FeatureProfile{{
			Name: "age", Type: "float", Kind: driftv1.FeatureKind_FEATURE_KIND_NUMERIC, Edges: []float64{30.5}, Counts: []uint64{5, 4},
			Baseline: &driftv1.Baseline{Rows: 9},
		}},
	}
}

// One tenant floods with spans over gRPC and HTTP, records, tails, queries and
// schedules; another's requests and queries succeed in time. Nothing that was
// acknowledged to either is lost, and what was turned away is on the account.
func requireNoisyNeighbour(t *testing.T, m *mesh.Mesh) {
	noisy, quiet := m.Tenant(t, "noisy"), m.Tenant(t, "quiet")
	admin := m.Login(t, "driftmesh", "admin", adminPassword)
	f := &flood{t: t, m: noisy}
	drift := driftv1.NewDriftServiceClient(noisy.Conn(t))
	profile, err := drift.CreateProfile(t.Context(), &driftv1.CreateProfileRequest{Profile: ageProfile("p", "* * * * * *")})
	require.NoError(t, err)

	out := m.MustCLI(t, "tenant", "limits", "set", "noisy", fmt.Sprintf("ingest-items=%d", floodRate), "tails=4", "queries=2", "profiles=20", "shortest-schedule=1m", "in-flight=32MiB", "--token", admin)
	require.Regexp(t, `ingest-items\s+200\s+its own`, out)
	require.Regexp(t, `tails\s+4\s+its own`, noisy.MustCLI(t, "tenant", "limits", "show"), "a tenant sees its own")
	_, err = noisy.CLI(t, "tenant", "limits", "set", "noisy", "tails=100")
	require.Error(t, err, "and does not change them")
	require.Eventually(t, func() bool { // in effect without a restart
		_, err := drift.CreateProfile(t.Context(), &driftv1.CreateProfileRequest{Profile: ageProfile("fast", "*/10 * * * * *")})
		return status.Code(err) == codes.ResourceExhausted
	}, 5*time.Second, 100*time.Millisecond)

	var schedules, refusedSchedules int
	for range 30 {
		switch _, err := drift.CreateProfile(t.Context(), &driftv1.CreateProfileRequest{Profile: ageProfile("p"+time.Now().Format("150405.000000000"), "* * * * *")}); {
		case err == nil:
			schedules++
		case refusal(t, err):
			refusedSchedules++
		}
	}
	require.Positive(t, refusedSchedules)
	require.Less(t, schedules, 20)

	ctx, stop := context.WithTimeout(t.Context(), floodFor)
	defer stop()
	began := time.Now()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { f.overGRPC(ctx) })
	}
	all.Go(func() { f.overHTTP(ctx) })
	all.Go(func() { f.withRecords(ctx, profile.GetProfile().GetUid()) })
	all.Go(func() { f.withTails(ctx) })
	for range 80 {
		all.Go(func() { f.withQueries(ctx) })
	}
	sent, took := f.neighbour(ctx, quiet)
	all.Wait()
	flooded := time.Since(began)

	slices.Sort(took)
	t.Logf("quiet: %d calls, median %s, longest %s; noisy: %d spans and %d records kept, %d and %d requests turned away; %d tails, %d refused; %d queries, %d refused",
		len(took), took[len(took)/2], took[len(took)-1], f.spans.Load(), f.records.Load(), f.refusedSpans.Load(), f.refusedBatch.Load(),
		f.tails.Load(), f.refusedTails.Load(), f.queries.Load(), f.refusedQueries.Load())
	require.Less(t, took[len(took)/2], usual)
	require.Less(t, took[len(took)-1], bound)
	require.Positive(t, f.refusedSpans.Load())
	require.Positive(t, f.refusedBatch.Load())
	require.Positive(t, f.refusedQueries.Load())
	require.Equal(t, int64(4), f.tails.Load())
	require.Equal(t, int64(36), f.refusedTails.Load())
	// A burst is what comes in a second; each of the five senders may bring one batch
	// too much.
	require.LessOrEqual(t, float64(f.spans.Load()+f.records.Load()), floodRate*(flooded.Seconds()+2)+5*floodBatch)

	account := quiet.Settled(t, "spans")
	require.EqualValues(t, sent, account.GetAccepted())
	require.EqualValues(t, sent, account.GetStored())
	require.Empty(t, account.GetRefusedRequests())
	turned := func(n uint64) func(a *ledgerv1.Account) bool {
		return func(a *ledgerv1.Account) bool {
			return mesh.AllSettled(a) && a.GetRefusedRequests()["ingest-items"] >= n
		}
	}
	for signal, want := range map[string]struct{ kept, refused uint64 }{
		"spans": {f.spans.Load(), f.refusedSpans.Load()}, "records": {f.records.Load(), f.refusedBatch.Load()},
	} {
		account := noisy.Account(t, signal, turned(want.refused))
		require.True(t, account.GetBalanced(), "%v", account)
		require.Equal(t, want.kept, account.GetAccepted(), "acknowledged, and nothing that was turned away")
		require.Equal(t, want.kept, account.GetStored())
		require.Equal(t, map[string]uint64{"ingest-items": want.refused}, account.GetRefusedRequests())
	}
}
