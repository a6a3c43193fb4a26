package evaluate_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/evaluate"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// What operators, values and plans come to is held against Scouter's client in package
// scouter, which writes them in these words.

func context(t testing.TB, text string) any {
	t.Helper()
	v, err := evaluate.Decode([]byte(text))
	require.NoError(t, err)
	return v
}

// some are checks of every kind, with gates and what depends on them.
var some = []profile.Check{
	{Name: "many", Of: profile.OfContext, Path: "items", Operator: "has_length_greater_than", Expected: json.RawMessage(`1`)},
	{Name: "gate", Of: profile.OfContext, Path: "many", Operator: "equals", Expected: json.RawMessage(`3`), DependsOn: []string{"many"}, Gate: true},
	{Name: "after", Of: profile.OfContext, Path: "text", Operator: "starts_with", Expected: json.RawMessage(`"h"`), DependsOn: []string{"gate"}},
	{Name: "shut", Of: profile.OfContext, Path: "text", Operator: "is_empty", Gate: true},
	{Name: "behind", Of: profile.OfContext, Path: "text", Operator: "is_string", DependsOn: []string{"shut"}},
	{Name: "further", Of: profile.OfContext, Path: "text", Operator: "is_string", DependsOn: []string{"behind"}},
	{Name: "judge", Of: profile.OfJudge},
	{Name: "judged", Of: profile.OfContext, Path: "text", Operator: "is_string", DependsOn: []string{"judge"}},
	{Name: "trace", Of: profile.OfTrace, Value: json.RawMessage(`{"trace_duration":{}}`), Operator: "less_than", Expected: json.RawMessage(`5`)},
	{Name: "lacks", Of: profile.OfContext, Path: "nothing.there", Operator: "is_null"},
	{Name: "answer", Of: profile.OfResponse, Path: "reply", Value: json.RawMessage(`{"response_model":{}}`), Operator: "equals", Expected: json.RawMessage(`"m"`)},
}

// Whatever order checks stand in, each comes to the same, again and again; and what is
// not run, and why, is told apart from what failed.
func TestChecksComeToTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	record := evaluate.Record{Context: context(t, `{"items":[1,2,3],"text":"hello","reply":{"choices":[],"model":"m"}}`)}
	want := map[string]evaluate.Outcome{
		"many": evaluate.Passed, "gate": evaluate.Passed, "after": evaluate.Passed, "shut": evaluate.Failed, "behind": evaluate.Skipped, "further": evaluate.Skipped,
		"judge": evaluate.NotRun, "judged": evaluate.NotRun, "trace": evaluate.NotRun, "lacks": evaluate.Failed, "answer": evaluate.Passed,
	}
	random := rand.New(rand.NewPCG(1, 1))
	var first []evaluate.Result
	for range 50 {
		checks := slices.Clone(some)
		random.Shuffle(len(checks), func(i, j int) { checks[i], checks[j] = checks[j], checks[i] })
		plan, err := evaluate.New(checks)
		require.NoError(t, err)
		for range 2 {
			results, sum := plan.Run(record), evaluate.Sum{}
			for i := range results {
				require.Equal(t, checks[i].Name, results[i].Name)
				require.Equal(t, want[results[i].Name], results[i].Outcome, results[i])
				require.Equal(t, results[i].Outcome == evaluate.Passed, results[i].Message == "", "why it was not passed")
				sum.Add(&results[i])
			}
			require.Equal(t, evaluate.Sum{Passed: 3, Failed: 1}, sum, "gates, and what was not run, do not count")
			slices.SortFunc(results, func(a, b evaluate.Result) int { return strings.Compare(a.Name, b.Name) })
			if first == nil {
				first = results
			}
			require.Equal(t, first, results)
		}
	}
	_, ok := evaluate.Sum{}.Rate()
	require.False(t, ok, "there is no share of nothing")
}

// What is compared grows with a record, not with its square, and a pattern is read once:
// long lists against long lists take no longer than reading them.
func TestLongListsAreCompared(t *testing.T) {
	t.Parallel()
	long := make([]any, 100_000)
	for i := range long {
		long[i] = map[string]any{"n": json.Number(strconv.Itoa(i)), "text": "word"}
	}
	wanted, err := json.Marshal(long[90_000:91_000])
	require.NoError(t, err)
	plan, err := evaluate.New([]profile.Check{
		{Name: "all", Of: profile.OfContext, Path: "list", Operator: "contains_all", Expected: wanted},
		{Name: "none", Of: profile.OfContext, Path: "list", Operator: "contains_none", Expected: json.RawMessage(strings.ReplaceAll(string(wanted), `"word"`, `"x"`))},
		{Name: "each", Of: profile.OfContext, Path: "list", ItemPath: "text", Operator: "matches", Expected: json.RawMessage(`"^[a-z]{1,900}$"`)},
	})
	require.NoError(t, err)
	began := time.Now()
	for _, r := range plan.Run(evaluate.Record{Context: map[string]any{"list": long}}) {
		require.Equal(t, evaluate.Passed, r.Outcome, r.Message)
	}
	require.Less(t, time.Since(began), 20*time.Second, "one by one it would be minutes")
}

// A trace is whole with a root and every parent; its spans stand as their tree does.
func TestTraceOfSpans(t *testing.T) {
	t.Parallel()
	span := func(id, parent byte, start, end uint64) *tracepb.Span {
		s := &tracepb.Span{Name: string('a' + id), SpanId: []byte{id, 0, 0, 0, 0, 0, 0, 1}, StartTimeUnixNano: start * 1e6, EndTimeUnixNano: end * 1e6,
			Attributes: []*commonpb.KeyValue{{Key: "n", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(id)}}}},
			Status:     &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK}}
		if parent != 0 {
			s.ParentSpanId = []byte{parent, 0, 0, 0, 0, 0, 0, 1}
		}
		return s
	}
	of := func(spans ...*tracepb.Span) *evaluate.Trace {
		return evaluate.TraceOf(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
			Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: "shop"}}}}},
			ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}},
		}}})
	}
	whole := of(span(3, 1, 20, 30), span(2, 1, 10, 40), span(1, 0, 5, 25))
	require.True(t, whole.Whole)
	require.Equal(t, time.Unix(0, 40e6), whole.End)
	require.Equal(t, []string{"b", "c", "d"}, []string{whole.Spans[0].Name, whole.Spans[1].Name, whole.Spans[2].Name})
	require.Equal(t, []int{0, 1, 1}, []int{whole.Spans[0].Depth, whole.Spans[1].Depth, whole.Spans[2].Depth})
	require.Equal(t, evaluate.Span{Name: "b", Service: "shop", Status: evaluate.OK, Start: time.Unix(0, 5e6), End: time.Unix(0, 25e6),
		Attributes: []evaluate.Attribute{{Key: "n", Value: json.Number("1")}}}, whole.Spans[0])
	require.False(t, of(span(2, 1, 10, 40)).Whole, "its parent is missing")
	require.False(t, of(span(1, 0, 5, 25), span(3, 2, 20, 30)).Whole)
	require.False(t, of().Whole)
}

// What is kept of a long value is cut, and still JSON.
func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	r := evaluate.Result{Actual: []any{strings.Repeat("é", 10_000)}}
	var text string
	require.NoError(t, json.Unmarshal(r.Kept(), &text))
	require.Less(t, len(text), 9000)
	require.True(t, strings.HasSuffix(text, "…"))
	require.Nil(t, (&evaluate.Result{}).Kept())
}

// FuzzNew takes any value and pattern: it is refused, or it can be run.
func FuzzNew(f *testing.F) {
	f.Add(`{"span_count":{"filter":{"and":{"filters":[{"by_name_pattern":{"pattern":"[]\\d]"}}]}}}}`, `^[\w\S]+\`, "a[0].b")
	f.Add(`{"attribute_filter":{"key":"n","mode":"any","task":{"of":"response","value":{"tool_call_count":{"name":null}},"operator":"equals"}}}`, "(", "")
	f.Fuzz(func(t *testing.T, value, pattern, path string) {
		expected, err := json.Marshal(pattern)
		require.NoError(t, err)
		for _, c := range []profile.Check{
			{Name: "c", Of: profile.OfContext, Path: path, Operator: "matches", Expected: expected},
			{Name: "w", Of: profile.OfContext, Path: path, Operator: "contains_word", Expected: expected},
			{Name: "t", Of: profile.OfTrace, Value: json.RawMessage(value), Operator: "equals", Expected: expected},
			{Name: "r", Of: profile.OfResponse, Value: json.RawMessage(value), Path: path, Operator: "equals"},
		} {
			plan, err := evaluate.New([]profile.Check{c})
			if err != nil {
				require.ErrorIs(t, err, fault.Invalid)
				continue
			}
			got := plan.Run(evaluate.Record{Context: map[string]any{"a": []any{map[string]any{"b": pattern}}}, Trace: &evaluate.Trace{Spans: []evaluate.Span{{Name: pattern}}}})
			require.NotEmpty(t, got[0].Outcome)
		}
	})
}
