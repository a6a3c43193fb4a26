package otlp_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/driftmesh/driftmesh/internal/otlp"
)

// BenchmarkFromJSON measures OTLP/JSON to protobuf, 100 spans, as the door does
// it and with the Collector's library.
func BenchmarkFromJSON(b *testing.B) {
	text, err := otlp.ToJSON(encode(b, sample(100)))
	require.NoError(b, err)
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := otlp.FromJSON(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pdata", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			req := ptraceotlp.NewExportRequest()
			if err := req.UnmarshalJSON(text); err != nil {
				b.Fatal(err)
			}
			if _, err := req.MarshalProto(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
