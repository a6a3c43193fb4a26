package tail

import (
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

func TestText(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]*commonpb.AnyValue{
		"a":     {Value: &commonpb.AnyValue_StringValue{StringValue: "a"}},
		"true":  {Value: &commonpb.AnyValue_BoolValue{BoolValue: true}},
		"-5":    {Value: &commonpb.AnyValue_IntValue{IntValue: -5}},
		"2":     {Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 2}},
		"0.25":  {Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.25}},
		"1e+20": {Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 1e20}},
		"":      {Value: &commonpb.AnyValue_ArrayValue{}},
	} {
		require.Equal(t, want, text(v))
	}
}

func FuzzFilter(f *testing.F) {
	f.Add([]byte{0x0a, 0x02, 0x0a, 0x00}, "s")
	f.Fuzz(func(t *testing.T, value []byte, service string) {
		spans, err := newFilter(&ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS, Service: service, SpanName: "x"})
		require.NoError(t, err)
		_, _ = spans.spans(value)
		recs, err := newFilter(&ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_RECORDS, Profile: service})
		require.NoError(t, err)
		_, _ = recs.records(value)
	})
}
