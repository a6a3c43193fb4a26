package demo

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func data(t *testing.T) (*Data, *profile.Profile) {
	t.Helper()
	d, err := NewData()
	require.NoError(t, err)
	p, err := d.Profile()
	require.NoError(t, err)
	return d, p
}

func TestTheDataIsCutInTwo(t *testing.T) {
	t.Parallel()
	d, p := data(t)
	require.Len(t, p.Features, 11)
	require.Negative(t, p.Feature("quality"))
	require.Len(t, d.reference, 800)
	require.EqualValues(t, 800, p.Features[0].Baseline.Rows)
	require.Greater(t, len(d.strong), 150)
	for _, row := range d.strong {
		require.NotContains(t, d.reference, row)
		require.Greater(t, d.value("alcohol", row), 11.0)
	}
	require.True(t, p.Schedule.OnClose)
}

// index is the PSI of each feature over n rows of a deck.
func index(t *testing.T, d *Data, p *profile.Profile, from *deck, n int) map[string]float64 {
	t.Helper()
	counts := make([][]uint64, len(p.Features))
	for i := range counts {
		counts[i] = make([]uint64, p.Features[i].Cells())
	}
	for range n {
		row := from.deal()
		for i := range p.Features {
			counts[i][p.Features[i].NumberCell(d.features[i].Numbers[row])]++
		}
	}
	out := map[string]float64{}
	for i, f := range p.Features {
		for k, expected := range f.Proportions() { // as the detector psi_scouter has it
			p, q := expected+1e-10, profile.Share(counts[i][k], uint64(n))+1e-10 //nolint:gosec // positive
			out[f.Name] += (p - q) * math.Log(p/q)
		}
	}
	return out
}

// A minute of calm is no alert, however the dice fall; a minute of drift is
// always one.
func TestOnlyDriftIsDrift(t *testing.T) {
	t.Parallel()
	d, p := data(t)
	random := rand.New(rand.NewPCG(1, 2))
	usual, strong := newDeck(d.reference, random), newDeck(d.strong, random)
	worst := 0.0
	for range 2000 {
		for _, psi := range index(t, d, p, usual, minSample) {
			worst = max(worst, psi)
		}
	}
	require.Less(t, worst, threshold*0.9)
	for range 100 {
		require.Greater(t, index(t, d, p, strong, minSample)["alcohol"], 5.0)
	}
}

func TestADeckDealsEachRowOnceARound(t *testing.T) {
	t.Parallel()
	deck := newDeck([]int{1, 2, 3, 4}, rand.New(rand.NewPCG(1, 2)))
	for range 3 {
		require.ElementsMatch(t, []int{1, 2, 3, 4}, []int{deck.deal(), deck.deal(), deck.deal(), deck.deal()})
	}
}

func TestARequestIsATraceThroughTheServices(t *testing.T) {
	t.Parallel()
	d, _ := data(t)
	spans := tracetest.NewInMemoryExporter()
	providers := map[string]*sdktrace.TracerProvider{}
	for _, name := range services {
		providers[name] = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	}
	shop := newShop(d, "0.1.0", rand.New(rand.NewPCG(3, 4)), providers)
	at := time.Now().Add(-10 * time.Minute)
	good := map[trace.TraceID]trace.SpanID{}
	failed := 0
	const n = 400
	for i := range n {
		made, ok := shop.request(t.Context(), at, d.reference[i], strongRed)
		if !ok {
			failed++
			continue
		}
		sc := trace.SpanContextFromContext(made.ctx)
		require.True(t, sc.IsSampled())
		require.Equal(t, d.reference[i], made.row)
		require.WithinRange(t, made.at, at, at.Add(time.Second))
		good[sc.TraceID()] = sc.SpanID()
	}
	require.Len(t, good, n-failed)
	require.InDelta(t, n/failing, failed, n/failing)

	byID := map[trace.SpanID]tracetest.SpanStub{}
	for _, s := range spans.GetSpans() {
		byID[s.SpanContext.SpanID()] = s
	}
	links, errs, events := 0, 0, 0
	for _, s := range byID {
		links += len(s.Links)
		events += len(s.Events)
		if s.Status.Code == codes.Error && s.Name == "GET /wines/{wine}" {
			errs++
		}
		require.False(t, s.EndTime.Before(s.StartTime))
		if !s.Parent.IsValid() {
			require.Contains(t, []string{"GET /wines/{wine}", "refresh wine_features"}, s.Name)
			continue
		}
		parent, known := byID[s.Parent.SpanID()]
		require.True(t, known, s.Name)
		require.False(t, s.StartTime.Before(parent.StartTime))
		require.False(t, s.EndTime.After(parent.EndTime), "%s ends after %s", s.Name, parent.Name)
		for _, l := range s.Links {
			require.Contains(t, byID, l.SpanContext.SpanID())
		}
	}
	require.Equal(t, failed, errs)
	require.GreaterOrEqual(t, links, n/missing/2)
	require.GreaterOrEqual(t, events, links)
	for _, id := range good {
		require.Equal(t, predictSpan, byID[id].Name)
		require.Equal(t, "POST /v1/ratings", byID[byID[id].Parent.SpanID()].Name)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	score := func(feature string, value float64) *driftv1.Score {
		return &driftv1.Score{Feature: feature, Value: &value, Threshold: proto.Float64(0.25), Sample: 294, Bins: []*driftv1.BinScore{
			{Label: "(-inf, 11]", Expected: 0.75, Observed: 0, Contribution: 1.5},
			{Label: "(11, +inf)", Expected: 0.25, Observed: 1, Contribution: value - 1.5},
		}}
	}
	alert := &driftv1.Alert{
		ProfileName: "wine/red/0.1.0", ExemplarTraceIds: []string{"a1", "b2", "c3", "d4"}, MovedCount: 2,
		RangeStart: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 0, 0, time.Local)),
		RangeEnd:   timestamppb.New(time.Date(2026, 1, 2, 3, 5, 0, 0, time.Local)),
		Moved:      []*driftv1.Score{score("alcohol", 8.5), score("pH", 1.75)},
	}
	guide := Guide{HTTP: "127.0.0.1:8000", Program: "driftmesh", Flags: "--addr x"}
	var out bytes.Buffer
	report(&out, alert, 11, true, guide)
	text := out.String()
	for _, want := range []string{
		"DRIFT in wine/red/0.1.0 from 03:04:00 to 03:05:00: 2 of 11 features moved",
		"alcohol  8.50  0.25   294      (11, +inf)  25.0%      100.0%",
		"alcohol, bin by bin", "(11, +inf)  25.0%      100.0%  7.000",
		"http://127.0.0.1:8000/traces/a1\n", "/c3\n",
		"driftmesh traces show a1 --addr x\n", "driftmesh alerts --addr x\n",
		"driftmesh drift run wine/red --since 2m --addr x\n", "driftmesh ledger --addr x\n",
	} {
		require.Contains(t, text, want)
	}
	require.Less(t, strings.Index(text, "alcohol"), strings.Index(text, "pH"), "the strongest comes first")
	require.NotContains(t, text, "d4")

	out.Reset()
	report(&out, alert, 11, false, guide)
	require.NotContains(t, out.String(), "bin by bin")
}

func TestConfig(t *testing.T) {
	t.Parallel()
	require.NoError(t, Config{Rate: 5, History: time.Minute, Calm: time.Second}.Validate())
	require.NoError(t, Config{Rate: 4}.Validate())
	err := Config{Rate: 3, History: -1, Calm: -1, Duration: -1}.Validate()
	for _, name := range []string{"demo.rate", "demo.history", "demo.calm", "demo.duration"} {
		require.ErrorContains(t, err, name)
	}
	var out bytes.Buffer
	Plan(&out, Config{Rate: 5, History: 10 * time.Minute, Calm: 20 * time.Second, Duration: time.Minute})
	require.Contains(t, out.String(), "until 1m0s have passed")
}
