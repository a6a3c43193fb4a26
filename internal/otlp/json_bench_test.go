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
	compare(b, text, otlp.FromJSON, func(in []byte) ([]byte, error) {
		req := ptraceotlp.NewExportRequest()
		if err := req.UnmarshalJSON(in); err != nil {
			return nil, err
		}
		return req.MarshalProto()
	})
}

// BenchmarkToJSON measures the way back.
func BenchmarkToJSON(b *testing.B) {
	compare(b, encode(b, sample(100)), otlp.ToJSON, func(in []byte) ([]byte, error) {
		req := ptraceotlp.NewExportRequest()
		if err := req.UnmarshalProto(in); err != nil {
			return nil, err
		}
		return req.MarshalJSON()
	})
}

func compare(b *testing.B, in []byte, ours, pdata func([]byte) ([]byte, error)) {
	for name, convert := range map[string]func([]byte) ([]byte, error){"ours": ours, "pdata": pdata} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := convert(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
