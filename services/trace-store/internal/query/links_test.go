package query_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
)

// A value leads to the trace of the span that has it, itself or in an event, and that
// began first; those of others and of other times do not.
func TestValuesLeadToTraces(t *testing.T) {
	f := setup(t, query.Limits{})
	made := newSpan("01234567", "", "made", asServer, 1)
	made.Attributes = []*commonv1.KeyValue{text("record", "a"), text("other", "c")}
	told := newSpan("76543210", "", "told", asClient, 2)
	told.TraceId = []byte("another trace 16")
	told.Events = []*tracev1.Span_Event{{Name: "sent", Attributes: []*commonv1.KeyValue{text("record", "b")}}, {Name: "again", Attributes: []*commonv1.KeyValue{text("record", "a")}}}
	f.write(f.message("acme", spansOf("shop", made)), f.message("acme", spansOf("shop", told)))

	ask := func(tenant string, v query.Values) map[string]query.TraceID {
		found, err := f.reader.Links(t.Context(), tenant, v)
		require.NoError(t, err)
		return found
	}
	all := query.Values{Attribute: "record", Texts: []string{"a", "b", "c", "d"}}
	require.Equal(t, map[string]query.TraceID{"a": query.TraceID([]byte(oneTrace)), "b": query.TraceID([]byte("another trace 16"))}, ask("acme", all))
	require.Empty(t, ask("other", all))
	all.Range.End = time.Unix(0, int64(made.GetStartTimeUnixNano()))
	require.Empty(t, ask("acme", all), "they begin later")
	_, err := f.reader.Links(t.Context(), "acme", query.Values{Attribute: "record"})
	require.ErrorIs(t, err, fault.Invalid)
}
