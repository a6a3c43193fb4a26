package query_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

func asText(v *commonv1.AnyValue) string {
	if i, ok := v.Value.(*commonv1.AnyValue_IntValue); ok {
		return fmt.Sprint(i.IntValue)
	}
	return v.GetStringValue()
}

// listed is the plain meaning of an AttributeQuery: every span that matches counts once
// for every key that it or its resource has, and once for every value.
func listed(a query.AttributeQuery, resources [][]*commonv1.KeyValue, spans []sentSpan) []query.AttributeTally {
	keys := map[string]uint64{}
	values := map[string]map[string]uint64{}
	part := strings.ToLower(a.Containing)
	for i, s := range spans {
		if !matches(a.Search, s) {
			continue
		}
		seen := map[[2]string]bool{}
		for _, kv := range slices.Concat(resources[i], s.Attributes) {
			if a.Key != "" && kv.Key != a.Key || a.Key == "" && !strings.Contains(strings.ToLower(kv.Key), part) {
				continue
			}
			v := asText(kv.Value)
			if !seen[[2]string{kv.Key}] {
				seen[[2]string{kv.Key}] = true
				keys[kv.Key]++
			}
			if len(v) > 256 || a.Key != "" && !strings.Contains(strings.ToLower(v), part) || seen[[2]string{kv.Key, "=" + v}] {
				continue
			}
			seen[[2]string{kv.Key, "=" + v}] = true
			if values[kv.Key] == nil {
				values[kv.Key] = map[string]uint64{}
			}
			values[kv.Key][v]++
		}
	}
	var out []query.AttributeTally
	for key, n := range keys {
		t := query.AttributeTally{Key: key, Spans: n}
		for v, n := range values[key] {
			t.Values = append(t.Values, query.ValueTally{Text: v, Spans: n})
		}
		slices.SortFunc(t.Values, func(a, b query.ValueTally) int {
			return cmp.Or(cmp.Compare(b.Spans, a.Spans), cmp.Compare(a.Text, b.Text))
		})
		most := cmp.Or(a.Values, 10)
		t.MoreValues = len(t.Values) > most
		t.Values = t.Values[:min(len(t.Values), most)]
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b query.AttributeTally) int {
		return cmp.Or(cmp.Compare(b.Spans, a.Spans), cmp.Compare(a.Key, b.Key))
	})
	return out[:min(len(out), cmp.Or(a.Keys, 50))]
}

// TestAttributes: keys and values are counted as if each span were looked at, whether
// it has them itself, from its resource or from both, and however often it came.
func TestAttributes(t *testing.T) {
	f := setup(t, query.Limits{})
	r := rand.New(rand.NewPCG(8, 1))
	long, words := strings.Repeat("x", 257), []string{"pro", "free", "it's", `"quoted" \ `, "größe\n", "", "<img src=x>"}
	var last []sentSpan
	var resources [][]*commonv1.KeyValue
	var sent [3][]store.Message
	for i := range 200 {
		s := newSpan(fmt.Sprintf("span%04d", i), "", "op", asServer, uint64(r.IntN(60_000)))
		s.TraceId = fmt.Appendf(nil, "a trace %02d,16 b.", r.IntN(40))
		s.Attributes = []*commonv1.KeyValue{
			text("plan", words[r.IntN(len(words))]), text("both", words[r.IntN(2)]), text("User.ID", fmt.Sprintf("user-%d", r.IntN(100))),
			{Key: "code", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: int64(200 + r.IntN(3))}}},
		}
		if r.IntN(10) == 0 {
			s.Attributes = append(s.Attributes, text("prompt", long), text("<b>\"key\"</b>", "x"))
		}
		s.Events = []*tracev1.Span_Event{{Name: "e", Attributes: []*commonv1.KeyValue{text("of an event", "x")}}}
		service := fmt.Sprintf("service %d", r.IntN(2))
		resource := []*commonv1.KeyValue{text("service.name", service), text("both", "pro"), text("host", `a "host" \`)}
		last, resources = append(last, sentSpan{service, s}), append(resources, resource)
		was := newSpan(string(s.SpanId), "", "op", asServer, 5)
		was.TraceId, was.Attributes = s.TraceId, []*commonv1.KeyValue{text("plan", "gone")}
		for k, version := range []*tracev1.Span{was, s, s} {
			data := spansOf(service, version)
			data.ResourceSpans[0].Resource.Attributes = resource
			sent[k] = append(sent[k], f.message("acme", data))
		}
	}
	for _, msgs := range sent {
		f.write(msgs...)
	}
	foreign := newSpan("foreign1", "", "op", asServer, 5)
	foreign.Attributes = []*commonv1.KeyValue{text("plan", "foreign"), text("foreign", "yes")}
	f.write(f.message("other", spansOf("service 1", foreign)))
	at := time.Unix(0, scaleBase)
	for name, a := range map[string]query.AttributeQuery{
		"everything":             {},
		"a service":              {Search: query.Search{Service: "service 1"}},
		"a time":                 {Search: query.Search{Range: query.Range{Start: at.Add(10 * time.Second), End: at.Add(31 * time.Second)}}},
		"where an attribute is":  {Search: query.Search{Attributes: map[string]string{"plan": "pro"}}},
		"keys with a part":       {Containing: "USER"},
		"a few":                  {Keys: 2, Values: 1},
		"values of a key":        {Key: "User.ID", Values: 500},
		"values with a part":     {Key: "User.ID", Containing: "ER-7", Values: 20},
		"odd values":             {Key: "plan", Containing: `"`},
		"a key that nobody has":  {Key: "nobody"},
		"a key with odd letters": {Key: `<b>"key"</b>`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := f.reader.Attributes(t.Context(), "acme", a)
			require.NoError(t, err)
			want := listed(a, resources, last)
			require.Equal(t, want, got.Attributes)
			n := uint64(0)
			for _, s := range last {
				if matches(a.Search, s) {
					n++
				}
			}
			require.Equal(t, n, got.Spans)
			require.Equal(t, n, got.LookedAt)
			require.Equal(t, a.Keys > 0, got.Truncated)
		})
	}
	t.Run("another tenant", func(t *testing.T) {
		got, err := f.reader.Attributes(t.Context(), "other", query.AttributeQuery{Key: "plan"})
		require.NoError(t, err)
		require.Equal(t, &query.AttributeList{Spans: 1, LookedAt: 1, Attributes: []query.AttributeTally{{Key: "plan", Spans: 1, Values: []query.ValueTally{{Text: "foreign", Spans: 1}}}}}, got)
		got, err = f.reader.Attributes(t.Context(), "nobody", query.AttributeQuery{})
		require.NoError(t, err)
		require.Equal(t, &query.AttributeList{}, got)
	})
	t.Run("too many", func(t *testing.T) {
		for says, a := range map[string]query.AttributeQuery{"keys must be": {Keys: 501}, "values must be": {Values: 501}, "at most 32 attributes": {Search: query.Search{Any: make([]query.Attribute, 33)}}} {
			_, err := f.reader.Attributes(t.Context(), "acme", a)
			require.ErrorIs(t, err, fault.Invalid)
			require.ErrorContains(t, err, says)
		}
	})
}

// TestAttributesOfASample: where there are more spans than are looked at, counts are
// estimates that say so, and near the truth.
func TestAttributesOfASample(t *testing.T) {
	f := setup(t, query.Limits{AttributeRows: 600})
	r := rand.New(rand.NewPCG(8, 2))
	errors := 0
	for n := range 40 {
		data := tracetest.Realistic(r, scaleBase+uint64(n)*1e9)
		for _, rs := range tracetest.Canonical(data) {
			if isError(rs.ScopeSpans[0].Spans[0]) {
				errors++
			}
		}
		f.write(f.message("acme", data))
	}
	got, err := f.reader.Attributes(t.Context(), "acme", query.AttributeQuery{})
	require.NoError(t, err)
	require.Equal(t, uint64(4000), got.Spans)
	require.GreaterOrEqual(t, got.LookedAt, uint64(400))
	require.LessOrEqual(t, got.LookedAt, uint64(2400))
	by := map[string]query.AttributeTally{}
	for _, a := range got.Attributes {
		by[a.Key] = a
	}
	require.Equal(t, query.AttributeTally{Key: "http.request.method", Spans: 4000, Values: []query.ValueTally{{Text: "GET", Spans: 4000}}}, by["http.request.method"])
	require.InDelta(t, 1000, by["service.name"].Values[0].Spans, 100, "a quarter of the spans")
	require.InDelta(t, errors, by["http.response.status_code"].Values[1].Spans, 60, "two in a hundred")
	require.True(t, by["enduser.id"].MoreValues)
	again, err := f.reader.Attributes(t.Context(), "acme", query.AttributeQuery{})
	require.NoError(t, err)
	require.Equal(t, got, again, "the same question has the same answer")
}
