package rpc_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"

	"github.com/driftmesh/driftmesh/internal/rpc"
)

// BenchmarkCall is what counting one unary call costs a server.
func BenchmarkCall(b *testing.B) {
	for name, cfg := range map[string]rpc.MetricsConfig{"counters": {}, "histogram": {ServerHandlingTime: true}} {
		b.Run(name, func(b *testing.B) {
			calls, err := rpc.NewMetrics(cfg, prometheus.NewRegistry())
			require.NoError(b, err)
			method := calls.Method(rpc.Unary, "/driftmesh.ingest.v1.IngestService/PublishRecords")
			b.ReportAllocs()
			for b.Loop() {
				call := method.Begin()
				call.Received()
				call.Sent()
				call.End(codes.OK, trace.SpanContext{})
			}
		})
	}
}
