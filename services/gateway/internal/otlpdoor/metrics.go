package otlpdoor

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"github.com/driftmesh/driftmesh/internal/otlp"
)

const (
	overGRPC = "grpc"
	overHTTP = "http"
)

// metrics are the collectors of the door, looked up once so that counting
// costs an addition.
type metrics struct {
	grpc, http transportMetrics
	accepted   prometheus.Counter
	rejected   []prometheus.Counter // by otlp.Reason
	mended     []prometheus.Counter // by otlp.Mend
	bytes      prometheus.Counter
	unkept     []*unkept
	cut        prometheus.Counter
}

type transportMetrics struct {
	codes   [codes.Unauthenticated + 1]prometheus.Counter
	seconds prometheus.Observer
}

// done counts one answered request.
func (m *transportMetrics) done(code codes.Code, started time.Time) {
	if int(code) >= len(m.codes) {
		code = codes.Unknown
	}
	m.codes[code].Inc()
	m.seconds.Observe(time.Since(started).Seconds())
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "driftmesh_gateway_otlp_requests_total", Help: "OTLP trace requests by transport and gRPC code of the answer.",
	}, []string{"transport", "code"})
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "driftmesh_gateway_otlp_spans_total", Help: "Spans that arrived over OTLP: accepted, or the reason why not.",
	}, []string{"outcome"})
	mended := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "driftmesh_gateway_otlp_mended_spans_total", Help: "Accepted spans in which the door has cut or replaced something, by what.",
	}, []string{"mend"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "driftmesh_gateway_otlp_request_seconds", Help: "Time from the start of a request to its answer.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"transport"})
	m := &metrics{
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "driftmesh_gateway_otlp_bytes_total", Help: "Bytes of OTLP trace requests after decompression.",
		}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "driftmesh_gateway_otlp_rewritten_total", Help: "Requests that were cut or cleaned of bad spans before they were published.",
		}),
		accepted: spans.WithLabelValues("accepted"),
	}
	for _, r := range otlp.Reasons() {
		m.rejected = append(m.rejected, spans.WithLabelValues(r.String()))
	}
	for _, mend := range otlp.Mends() {
		m.mended = append(m.mended, mended.WithLabelValues(mend.String()))
	}
	for name, t := range map[string]*transportMetrics{overGRPC: &m.grpc, overHTTP: &m.http} {
		for code := range t.codes {
			t.codes[code] = requests.WithLabelValues(name, codes.Code(code).String())
		}
		t.seconds = seconds.WithLabelValues(name)
	}
	unkeptRequests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "driftmesh_gateway_otlp_unkept_requests_total", Help: "OTLP requests of signals that the mesh does not keep.",
	}, []string{"signal"})
	unkeptBytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "driftmesh_gateway_otlp_unkept_bytes_total", Help: "Bytes of OTLP requests of signals that the mesh does not keep, after decompression.",
	}, []string{"signal"})
	m.unkept = newUnkept(unkeptRequests, unkeptBytes)
	for _, c := range []prometheus.Collector{unkeptRequests, unkeptBytes, requests, spans, mended, seconds, m.bytes, m.cut} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register OTLP door metrics: %w", err)
		}
	}
	return m, nil
}
