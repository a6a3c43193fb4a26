package interop

import (
	"context"
	"net"
	"sync"

	"github.com/stretchr/testify/require"
	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/test/server"
)

// MetricsReceiver takes metrics in over OTLP/gRPC and keeps what came last.
type MetricsReceiver struct {
	colmetricspb.UnimplementedMetricsServiceServer

	GRPC string // its address

	mu      sync.Mutex
	last    []*metricspb.ResourceMetrics
	arrived int
}

// NewMetricsReceiver starts a receiver that ends with the test.
func NewMetricsReceiver(t server.T) *MetricsReceiver {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &MetricsReceiver{GRPC: lis.Addr().String()}
	s := grpc.NewServer()
	colmetricspb.RegisterMetricsServiceServer(s, r)
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(lis) })
	t.Cleanup(func() {
		s.Stop()
		wg.Wait()
	})
	return r
}

// Export keeps a request.
func (r *MetricsReceiver) Export(_ context.Context, req *colmetricspb.ExportMetricsServiceRequest) (*colmetricspb.ExportMetricsServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = req.GetResourceMetrics()
	r.arrived++
	return &colmetricspb.ExportMetricsServiceResponse{}, nil
}

// Pushes is how many requests came.
func (r *MetricsReceiver) Pushes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.arrived
}

// Resource are the attributes of who sent the last request.
func (r *MetricsReceiver) Resource() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	named := map[string]string{}
	for _, rm := range r.last {
		for _, kv := range rm.GetResource().GetAttributes() {
			named[kv.GetKey()] = kv.GetValue().GetStringValue()
		}
	}
	return named
}

// Sum is the sum of a metric over all points of the last request that have
// these attributes, of histograms the number of measurements; false when there
// is no such point.
func (r *MetricsReceiver) Sum(name string, attributes map[string]string) (sum float64, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rm := range r.last {
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				if m.GetName() != name {
					continue
				}
				for _, p := range m.GetSum().GetDataPoints() {
					if has(p, attributes) {
						sum, found = sum+p.GetAsDouble(), true
					}
				}
				for _, p := range m.GetHistogram().GetDataPoints() {
					if has(p, attributes) {
						sum, found = sum+float64(p.GetCount()), true
					}
				}
			}
		}
	}
	return sum, found
}

func has(point interface{ GetAttributes() []*commonpb.KeyValue }, attributes map[string]string) bool {
	found := 0
	for _, kv := range point.GetAttributes() {
		if want, ok := attributes[kv.GetKey()]; ok && want == kv.GetValue().GetStringValue() {
			found++
		}
	}
	return found == len(attributes)
}
