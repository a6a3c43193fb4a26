package query_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/spantree"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
)

// TestSearchLooksEverywhere: an attribute is found wherever in a span it is,
// and the keys that mean more mean it.
func TestSearchLooksEverywhere(t *testing.T) {
	f := setup(t, query.Limits{})
	rich := newSpan("01234567", "", "rich", asServer, 1)
	rich.Attributes = []*commonv1.KeyValue{text("where", "span"), text("error", "false")}
	rich.Events = []*tracev1.Span_Event{{Name: "exception", Attributes: []*commonv1.KeyValue{text("exception.type", "Timeout")}}, {Name: "retry"}}
	rich.Links = []*tracev1.Span_Link{{TraceId: []byte(oneTrace), SpanId: []byte("01234567"), Attributes: []*commonv1.KeyValue{text("link.kind", "batch")}}}
	rich.Status = &tracev1.Status{Code: tracev1.Status_STATUS_CODE_ERROR}
	data := spansOf("shop", rich)
	data.ResourceSpans[0].ScopeSpans[0].Scope = &commonv1.InstrumentationScope{
		Name: "lib", Version: "1.2", Attributes: []*commonv1.KeyValue{text("scope.attr", "yes")},
	}
	plain := newSpan("76543210", "", "plain", asClient, 2)
	plain.TraceId = []byte("a plain trace 16")
	plain.Status = &tracev1.Status{Code: tracev1.Status_STATUS_CODE_OK}
	flagged := newSpan("7654321x", "", "flagged", asClient, 3)
	flagged.TraceId = []byte("a flagged trace.")
	flagged.Attributes = []*commonv1.KeyValue{{Key: "error", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_BoolValue{BoolValue: true}}}}
	f.write(f.message("acme", data), f.message("acme", spansOf("shop", plain)), f.message("acme", spansOf("", flagged)))

	names := map[string]string{oneTrace: "rich", "a plain trace 16": "plain", "a flagged trace.": "flagged"}
	for _, tt := range []struct {
		key, text string
		want      []string // the newest first
	}{
		{"where", "span", []string{"rich"}},
		{"exception.type", "Timeout", []string{"rich"}},
		{"exception.type", "timeout", nil},
		{"event", "retry", []string{"rich"}},
		{"link.kind", "batch", []string{"rich"}},
		{"scope.attr", "yes", []string{"rich"}},
		{"scope.name", "lib", []string{"rich"}},
		{"otel.scope.name", "lib", []string{"rich"}},
		{"otel.library.name", "lib", []string{"rich"}},
		{"scope.version", "1.2", []string{"rich"}},
		{"scope.name", "other", nil},
		{"service.name", "shop", []string{"plain", "rich"}},
		{"span.status", "error", []string{"rich"}},
		{"span.status", "OK", []string{"plain"}},
		{"span.status", "unset", []string{"flagged"}},
		{"otel.status_code", "ERROR", []string{"rich"}},
		{"span.kind", "client", []string{"flagged", "plain"}},
		{"error", "true", []string{"flagged", "rich"}},
		{"error", "false", []string{"plain"}},
		{"error", "maybe", nil},
	} {
		t.Run(tt.key+"="+tt.text, func(t *testing.T) {
			var got []string
			for _, id := range f.search(query.Search{Attributes: map[string]string{tt.key: tt.text}}) {
				got = append(got, names[string(id[:])])
			}
			require.Equal(t, tt.want, got)
		})
	}
	t.Run("all at once", func(t *testing.T) {
		require.Len(t, f.search(query.Search{Service: "shop", Attributes: map[string]string{
			"where": "span", "exception.type": "Timeout", "link.kind": "batch", "scope.name": "lib", "span.status": "error", "error": "true",
		}}), 1)
	})
}

// TestMissingService: spans without service.name are listed and found under a
// name of their own.
func TestMissingService(t *testing.T) {
	f := setup(t, query.Limits{})
	f.write(f.message("acme", spansOf("", newSpan("01234567", "", "orphaned", asServer, 1))))
	services, _, err := f.reader.Services(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, []string{query.MissingService}, services)
	operations, _, err := f.reader.Operations(t.Context(), "acme", query.MissingService, "")
	require.NoError(t, err)
	require.Equal(t, []query.Operation{{Name: "orphaned", Kind: "server"}}, operations)
	found, _, err := f.reader.Summaries(t.Context(), "acme", query.Search{Service: query.MissingService})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, query.MissingService, found[0].RootService)
	require.Equal(t, []query.ServiceCount{{Service: query.MissingService, Spans: 1, Start: time.Unix(0, scaleBase+1e6), Duration: time.Millisecond}}, found[0].Services)
}

// TestSummaryIsExact: a trace with more spans than are ever sent is still
// counted whole.
func TestSummaryIsExact(t *testing.T) {
	f := setup(t, query.Limits{MaxSpans: 10})
	var spans []*tracev1.Span
	for i := range 21 {
		s := newSpan("0123456"+string(rune('a'+i)), "parent67", "step", asInternal, uint64(i))
		spans = append(spans, s)
	}
	f.write(f.message("acme", spansOf("shop", spans...)))
	found, _, err := f.reader.Summaries(t.Context(), "acme", query.Search{})
	require.NoError(t, err)
	require.Equal(t, 21, found[0].Spans)
	require.False(t, found[0].HasRoot)
	require.Equal(t, "step", found[0].RootOperation)

	sent, warnings := 0, 0
	require.NoError(t, f.reader.Trace(t.Context(), "acme", found[0].TraceID, func(p query.Part) error {
		require.True(t, p.Truncated)
		sent += p.Spans
		warnings += len(p.Warnings)
		return nil
	}))
	require.Equal(t, 10, sent)
	require.Zero(t, warnings, "of a part nobody can say whose parent is missing")
}

func TestDependencies(t *testing.T) {
	f := setup(t, query.Limits{})
	write := func(service string, spans ...*tracev1.Span) {
		m := f.message("acme", spansOf(service, spans...))
		f.write(m)
		f.write(m) // counts once
	}
	// front ─▶ back (Zipkin's shared id) ─▶ db, and front within itself.
	write("front", newSpan("root4567", "", "page", asServer, 1), newSpan("shared67", "root4567", "call", asClient, 2), newSpan("within67", "shared67", "wait", asInternal, 3))
	write("back", newSpan("shared67", "root4567", "serve", asServer, 3), newSpan("inner567", "shared67", "work", asInternal, 4), newSpan("dbcall67", "inner567", "query", asClient, 5))
	write("db", newSpan("dbserve7", "dbcall67", "select", asServer, 6), newSpan("dbserve8", "dbcall67", "select", asServer, 7))
	write("", newSpan("nameless", "root4567", "x", asServer, 7))
	write("lost", newSpan("lost4567", "missing7", "x", asServer, 7))
	late := newSpan("late4567", "", "x", asServer, 9e6)
	late.ParentSpanId, late.TraceId = []byte("late4568"), []byte("a later trace 16")
	caller := newSpan("late4568", "", "x", asClient, 9e6)
	caller.TraceId = late.TraceId
	write("front", caller)
	write("back", late)

	all := query.Range{Start: time.Unix(0, scaleBase), End: time.Unix(0, scaleBase+1e18)}
	got, truncated, err := f.reader.Dependencies(t.Context(), "acme", all)
	require.NoError(t, err)
	require.False(t, truncated)
	require.Equal(t, []query.Dependency{
		{Parent: "back", Child: "db", Calls: 2}, {Parent: "front", Child: "back", Calls: 2}, {Parent: "front", Child: query.MissingService, Calls: 1},
	}, got)

	got, _, err = f.reader.Dependencies(t.Context(), "acme", query.Range{Start: all.Start, End: time.Unix(0, scaleBase+1e9)})
	require.NoError(t, err)
	require.Equal(t, query.Dependency{Parent: "front", Child: "back", Calls: 1}, got[1])
	got, _, err = f.reader.Dependencies(t.Context(), "other", all)
	require.NoError(t, err)
	require.Empty(t, got)
}

// TestWarnings: what is odd about a trace comes with its last part.
func TestWarnings(t *testing.T) {
	f := setup(t, query.Limits{PartBytes: 1})
	backwards := newSpan("backward", "root4567", "x", asInternal, 5)
	backwards.EndTimeUnixNano = backwards.StartTimeUnixNano - 3e6
	f.write(f.message("acme", spansOf("front", newSpan("root4567", "", "page", asServer, 4), backwards)))
	f.write(f.message("acme", spansOf("back", newSpan("early567", "root4567", "x", asServer, 1), newSpan("orphan67", "missing7", "x", asServer, 7))))
	got := map[string]string{}
	parts := 0
	require.NoError(t, f.reader.Trace(t.Context(), "acme", query.TraceID([]byte(oneTrace)), func(p query.Part) error {
		require.Empty(t, got, "the last part")
		parts++
		for _, w := range p.Warnings {
			got[w.SpanID] = w.Service + " " + w.Kind + ": " + w.Oddity.String()
		}
		return nil
	}))
	require.Equal(t, 4, parts)
	require.Equal(t, map[string]string{
		"6261636b77617264": "front internal: " + spantree.Oddity{Kind: spantree.EndBeforeStart, By: 3e6}.String(),
		"6561726c79353637": "back server: it starts 3ms before its parent, which is of another service: their clocks differ",
		"6f727068616e3637": "back server: its parent 6d697373696e6737 is not in the trace",
	}, got)
}
