package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// cellar is a profile of four features, one of each type.
func cellar(t testing.TB) *profile.Profile {
	t.Helper()
	p, err := profile.New([]profile.Column{
		{Name: "acid", Type: profile.Float, Numbers: []float64{1, 2, 3, 4}},
		{Name: "colour", Type: profile.String, Texts: []string{"red", "white", "red", "red"}},
		{Name: "cork", Type: profile.Bool, Texts: []string{"true", "false", "true", "true"}},
		{Name: "year", Type: profile.Int, Numbers: []float64{2001, 2002, 2003, 2004}},
	}, profile.Options{Space: "cellar", Name: "wine"})
	require.NoError(t, err)
	return p
}

func captured(t testing.TB, p *profile.Profile, options ...QueueOption) *Queue {
	t.Helper()
	q, err := CaptureQueue(map[string]*profile.Profile{"wine": p}, options...)
	require.NoError(t, err)
	return q
}

func TestInsertIsTheRecordThatFeaturesMakes(t *testing.T) {
	t.Parallel()
	q := captured(t, cellar(t))
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	ctx := FromHeaders(t.Context(), map[string]string{"traceparent": "00-" + hexTrace + "-" + hexSpan + "-01", "tracestate": "a=b"})
	lists := [][]Value{
		{Float("acid", 7.4), String("colour", "rosé"), Bool("cork", true), Int("year", -2020)},
		{Int("year", 2020), Missing("acid"), Bool("cork", false)},
		{Float("acid", math.Inf(-1)), Float("year", 2001)},
		{Int("acid", 3), Float("year", math.NaN()), String("colour", strings.Repeat("long ", 100))},
	}
	for i, values := range lists {
		id := fmt.Sprint("id ", i)
		require.NoError(t, q.For("wine").InsertAs(ctx, id, at, values...))
		want, err := Features("cellar/wine", values...).WithID(id).WithTime(at).message(ctx, at)
		require.NoError(t, err)
		got := q.Drain("wine")
		require.Len(t, got, 1)
		require.True(t, sameRecord(want, got[0]), "%v\n%v", want, got[0])
	}
	require.NoError(t, q.For("wine").Label(ctx, "id 1", String("colour", "red")))
	got := q.Drain("wine")[0]
	require.Equal(t, "red", got.GetLabels().GetValues()[0].GetString_())
	require.NoError(t, q.For("wine").InsertContext(t.Context(), map[string]int{"a": 1}))
	require.Equal(t, `{"a":1}`, q.Drain("wine")[0].GetContext().GetJson())

	before := time.Now()
	require.NoError(t, q.For("wine").Insert(t.Context(), Float("acid", 1)))
	require.NoError(t, q.For("wine").TryInsert(t.Context(), Float("acid", 1)))
	list := q.DrainAll()["wine"]
	require.Len(t, list, 2)
	require.NotEqual(t, list[0].GetId(), list[1].GetId())
	require.Len(t, list[0].GetId(), idLength)
	require.WithinDuration(t, before, list[0].GetEventTime().AsTime(), time.Minute)
	require.Empty(t, list[0].GetTraceparent())
	require.Equal(t, InserterStats{Inserted: 8}, q.For("wine").Stats())
}

// sameRecord takes all NaNs for equal.
func sameRecord(a, b *ingestv1.Record) bool { return proto.Equal(a, b) || a.String() == b.String() }

func TestWhatBreaksAProfileIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	q := captured(t, cellar(t))
	in := q.For("wine")
	for _, row := range []struct {
		field, rule string
		values      []Value
	}{
		{"", RuleEmptyRecord, nil},
		{"alcohol", RuleUnknownFeature, []Value{Float("acid", 1), Float("alcohol", 1)}},
		{"acid", RuleDuplicateName, []Value{Float("acid", 1), Float("acid", 1)}},
		{"acid", RuleTypeMismatch, []Value{String("acid", "1")}},
		{"colour", RuleTypeMismatch, []Value{Int("colour", 1)}},
		{"cork", RuleTypeMismatch, []Value{Int("cork", 1)}},
		{"year", RuleTypeMismatch, []Value{Float("year", 1.5)}},
		{"year", RuleTypeMismatch, []Value{Bool("year", true)}},
		{"colour", RuleTooLarge, []Value{String("colour", strings.Repeat("x", 64<<10+1))}},
		{"colour", RuleInvalidUTF8, []Value{String("colour", "\xff")}},
		{"", RuleUnknownFeature, []Value{{}}},
	} {
		err := in.Insert(t.Context(), row.values...)
		var refused *ValueError
		require.ErrorAs(t, err, &refused, "%v", row.values)
		require.Equal(t, row.field, refused.Field)
		require.Equal(t, row.rule, refused.Rule, "%v", err)
		require.Contains(t, err.Error(), "wine (cellar/wine)")
	}
	require.Error(t, in.InsertAs(t.Context(), "", time.Time{}, Float("acid", 1)))
	require.ErrorContains(t, in.InsertAs(t.Context(), strings.Repeat("x", 129), time.Time{}, Float("acid", 1)), RuleInvalidID)
	require.Error(t, in.Label(t.Context(), "", Float("acid", 1)))
	require.ErrorContains(t, in.InsertContext(t.Context(), []int{1}), RuleInvalidContext)
	require.ErrorContains(t, in.InsertContext(t.Context(), make(chan int)), RuleInvalidContext)
	require.ErrorIs(t, q.For("beer").Insert(t.Context(), Float("acid", 1)), ErrNoAlias)
	require.ErrorIs(t, q.For("beer").InsertAs(t.Context(), "", time.Time{}), ErrNoAlias)
	require.Empty(t, q.Drain("wine"))
	require.Positive(t, in.Stats().Refused)
	require.EqualError(t, in.Insert(t.Context(), Float("colour", 1)),
		`insert into wine (cellar/wine): "colour": the value is a float, and the profile's feature of type string (type_mismatch)`)
}

func TestProfilesOfMetricsContextsAndSpans(t *testing.T) {
	t.Parallel()
	p := cellar(t)
	p.Source = &profile.Source{Of: profile.MetricRecords}
	q := captured(t, p)
	require.NoError(t, q.For("wine").Insert(t.Context(), Float("mae", 0.5), Int("n", 3)))
	require.Equal(t, `values:{name:"mae" value:0.5} values:{name:"n" value:3}`, strings.ReplaceAll(q.Drain("wine")[0].GetMetrics().String(), "  ", " "))
	for rule, values := range map[string][]Value{
		RuleNotFinite: {Float("a", math.NaN())}, RuleTypeMismatch: {String("a", "b")}, RuleDuplicateName: {Int("a", 1), Int("a", 2)}, RuleTooLarge: {Int(strings.Repeat("a", 129), 1)},
	} {
		require.ErrorContains(t, q.For("wine").Insert(t.Context(), values...), rule)
	}
	require.ErrorContains(t, q.For("wine").InsertContext(t.Context(), struct{}{}), RuleOtherSource)
	p.Source = &profile.Source{Service: "s"}
	require.ErrorContains(t, captured(t, p).For("wine").Insert(t.Context(), Float("acid", 1)), "made of spans")
	p.Source = &profile.Source{Of: profile.ContextRecords}
	require.NoError(t, captured(t, p).For("wine").InsertContext(t.Context(), struct{}{}))
	p.Source = nil
	p.Monitors = []profile.Monitor{{Name: "types", Detector: profile.WrongTypeDetector, Features: []string{"acid"}}}
	q = captured(t, p)
	require.NoError(t, q.For("wine").Insert(t.Context(), String("acid", "sour")), "a monitor judges how many there are")
	require.ErrorContains(t, q.For("wine").Label(t.Context(), "1", String("acid", "sour")), RuleTypeMismatch)
}

func TestSamplingOfRecordsIsConsistent(t *testing.T) {
	t.Parallel()
	q := captured(t, cellar(t), SampleRecords(0.25))
	in := q.For("wine")
	const n = 4000
	below := thresholdOf(0.25)
	for i := range n {
		sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 15: byte(i), 14: byte(i >> 8), 9: byte(i * 37), 10: byte(i)}, SpanID: trace.SpanID{1}})
		ctx := trace.ContextWithSpanContext(t.Context(), sc)
		require.NoError(t, in.Insert(ctx, Float("acid", 1)))
		require.NoError(t, in.Insert(ctx, Float("acid", 2)))
		got := len(q.Drain("wine"))
		require.Contains(t, []int{0, 2}, got, "both of a trace or none")
		require.Equal(t, below.keeps(randomness(sc.TraceID(), otelState{})), got == 2, "as the sampler of traces")

		id := fmt.Sprint("record-", i)
		require.NoError(t, in.InsertAs(t.Context(), id, time.Time{}, Float("acid", 1)))
		require.NoError(t, in.Label(t.Context(), id, Float("acid", 2)))
		require.Contains(t, []int{0, 2}, len(q.Drain("wine")), "a record and its labels, or neither")
	}
	stats := in.Stats()
	require.EqualValues(t, 4*n, stats.Inserted+stats.SampledOut)
	for range n {
		require.NoError(t, in.Insert(t.Context(), Float("acid", 1)))
	}
	require.InDelta(t, n/4, len(q.Drain("wine")), 200)
	for _, bad := range []QueueOption{SampleRecords(2), SampleRecords(math.NaN()), SampleAlias("beer", 0.5), SampleAlias("wine", -1)} {
		_, err := CaptureQueue(map[string]*profile.Profile{"wine": cellar(t)}, bad)
		require.Error(t, err)
	}
	none := captured(t, cellar(t), SampleAlias("wine", 0))
	require.NoError(t, none.For("wine").Insert(t.Context(), Float("acid", 1)))
	require.Empty(t, none.Drain("wine"))
}

func TestSpanInserts(t *testing.T) {
	t.Parallel()
	r, in := recorder(t)
	q := captured(t, cellar(t))
	ctx, span := Start(t.Context(), "predict", in)
	require.NoError(t, span.InsertInto(q, "wine", Float("acid", 1)))
	require.NoError(t, q.For("wine").Insert(ctx, Float("acid", 2)))
	require.Error(t, span.InsertInto(q, "wine", Float("acidity", 1)))
	span.End()
	list := q.Drain("wine")
	traceID, spanID := span.ID()
	for _, record := range list {
		require.Equal(t, "00-"+traceID+"-"+spanID+"-01", record.GetTraceparent())
	}
	require.Equal(t, map[string]any{"driftmesh.profile": "cellar/wine", "driftmesh.record": list[0].GetId()}, event(t, oneSpan(t, r), EventInsert))
	require.Len(t, r.Ended()[0].Events(), 1)
	require.NoError(t, Current(t.Context()).InsertInto(q, "wine", Float("acid", 1)), "outside a trace")
	require.Empty(t, q.Drain("wine")[0].GetTraceparent())
}

func TestProfilesFromFiles(t *testing.T) {
	t.Parallel()
	p := cellar(t)
	p.UID, p.Version = "01890a5d-ac96-774b-bcce-b302099a8057", "0.2.0"
	raw, err := json.Marshal(p)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "wine.json"), raw, 0o600))
	client, err := New("127.0.0.1:1")
	require.NoError(t, err)
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = client.Shutdown(ctx)
	}()
	q, err := client.OpenQueue(t.Context(), map[string]string{"wine": filepath.Join(dir, "wine.json")})
	require.NoError(t, err)
	require.Equal(t, []string{"wine"}, q.Aliases())
	require.Equal(t, "cellar/wine/0.2.0", q.For("wine").Profile())
	q.Capture(true)
	require.NoError(t, q.For("wine").Insert(t.Context(), Float("acid", 1)))
	require.NotEmpty(t, q.Drain("wine")[0].GetProfile())
	q.Capture(false)
	require.NoError(t, q.For("wine").Insert(t.Context(), Float("acid", 1)))
	require.Equal(t, 1, client.Stats().Records.Queued)
	require.Empty(t, q.Drain("wine"))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "broken.json"), raw[:40], 0o600))
	_, err = client.OpenQueue(t.Context(), map[string]string{"a": filepath.Join(dir, "none.json"), "b": filepath.Join(dir, "broken.json")})
	require.ErrorContains(t, err, "profile a: ")
	require.ErrorContains(t, err, "profile b: ")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, q.Close(ctx), "the mesh is away")
	require.ErrorIs(t, q.For("wine").Insert(t.Context(), Float("acid", 1)), ErrClosed)
}

// Span.Insert finds the queue that was opened last. Not parallel: the client is that of
// the process.
func TestSpanInsertFindsTheOpenQueue(t *testing.T) {
	_, err := OpenQueue(t.Context(), nil)
	require.ErrorIs(t, err, ErrNoClient)
	require.ErrorIs(t, Current(t.Context()).Insert("wine", Float("acid", 1)), ErrNoQueue)
	c, err := New("127.0.0.1:1")
	require.NoError(t, err)
	c.enter()
	raw, err := json.Marshal(cellar(t))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "wine.json")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	q, err := OpenQueue(t.Context(), map[string]string{"wine": path})
	require.NoError(t, err)
	q.Capture(true)
	ctx, span := Start(t.Context(), "predict", TraceTag("a", "b"))
	require.NoError(t, span.Insert("wine", Float("acid", 1)))
	span.End()
	_, child := Start(ctx, "below")
	child.End()
	trace, _ := span.ID()
	require.Contains(t, q.Drain("wine")[0].GetTraceparent(), trace)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = q.Close(gone)
	require.ErrorIs(t, span.Insert("wine", Float("acid", 1)), ErrNoQueue)
	require.ErrorContains(t, c.Shutdown(gone), "2 spans")
}
