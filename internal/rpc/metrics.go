package rpc

import (
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/client_golang/prometheus"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats/opentelemetry"

	"github.com/driftmesh/driftmesh/sdk/grpcmetrics"
)

// MetricsConfig says what is measured of calls beside counting them. Each
// histogram is a dozen series for each method: they are off until asked for.
type MetricsConfig struct {
	ServerHandlingTime      bool      `help:"Measure how long servers take for a call: histogram grpc_server_handling_seconds."`
	ClientHandlingTime      bool      `help:"Measure how long calls between services take: histogram grpc_client_handling_seconds."`
	ClientStreamReceiveTime bool      `help:"Measure how long clients wait for each message of a stream: histogram grpc_client_msg_recv_handling_seconds."`
	ClientStreamSendTime    bool      `help:"Measure how long clients take to hand over each message of a stream: histogram grpc_client_msg_send_handling_seconds."`
	Buckets                 []float64 `help:"Upper bounds of these histograms in seconds, ascending." default:"0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5,10" placeholder:"SECONDS"`
	Legacy                  bool      `help:"Name what is measured of calls as older libraries do: grpc_server_handled_latency_seconds, grpc_client_completed and grpc_client_completed_latency_seconds."`
	OpenTelemetry           bool      `name:"opentelemetry" help:"Measure calls under OpenTelemetry's names too: grpc_server_call_duration_seconds, grpc_client_call_duration_seconds and their kin."`
}

// Validate reports the bounds that make no histogram.
func (c MetricsConfig) Validate() error {
	for i, bound := range c.Buckets {
		if math.IsNaN(bound) || math.IsInf(bound, 0) || bound <= 0 {
			return errors.New("metrics.buckets: bounds must be positive numbers of seconds")
		}
		if i > 0 && bound <= c.Buckets[i-1] {
			return errors.New("metrics.buckets: bounds must ascend")
		}
	}
	return nil
}

// Metrics count the calls that the servers and clients of one service take and
// make, under the names of go-grpc-middleware and, if asked for, under those of
// OpenTelemetry. They are safe for concurrent use.
type Metrics struct {
	client *grpcmetrics.Client

	started, handled, received, sent *prometheus.CounterVec
	handling                         *prometheus.HistogramVec // nil when off

	otel *sdkmetric.MeterProvider // nil when off
}

var _ prometheus.Collector = (*Metrics)(nil)

// NewMetrics makes the metrics of one service and registers them. What is
// registered there already is returned instead.
func NewMetrics(cfg MetricsConfig, reg prometheus.Registerer) (*Metrics, error) {
	handling := "grpc_server_handling_seconds"
	if cfg.Legacy {
		handling = "grpc_server_handled_latency_seconds"
	}
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		client: grpcmetrics.New(grpcmetrics.Config{
			HandlingTime: cfg.ClientHandlingTime, ReceiveTime: cfg.ClientStreamReceiveTime, SendTime: cfg.ClientStreamSendTime,
			Buckets: cfg.Buckets, Legacy: cfg.Legacy,
		}),
		started:  counter("grpc_server_started_total", "Calls that arrived at the server.", labels),
		handled:  counter("grpc_server_handled_total", "Calls that the server answered, well or not, by the code of the answer.", append(labels[:3:3], "grpc_code")),
		received: counter("grpc_server_msg_received_total", "Messages that the server received and decoded.", labels),
		sent:     counter("grpc_server_msg_sent_total", "Messages that the server sent.", labels),
	}
	if cfg.ServerHandlingTime {
		m.handling = prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: handling, Help: "Seconds from the arrival of a call to its answer.", Buckets: cfg.Buckets,
		}, labels)
	}
	if err := reg.Register(m); err != nil {
		var twice prometheus.AlreadyRegisteredError
		if errors.As(err, &twice) {
			if there, ok := twice.ExistingCollector.(*Metrics); ok {
				return there, nil
			}
		}
		return nil, fmt.Errorf("register call metrics: %w", err)
	}
	if cfg.OpenTelemetry {
		reader, err := otelprom.New(otelprom.WithRegisterer(reg), otelprom.WithoutTargetInfo(), otelprom.WithoutScopeInfo())
		if err != nil {
			return nil, fmt.Errorf("register OpenTelemetry's call metrics: %w", err)
		}
		m.otel = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	}
	return m, nil
}

func (m *Metrics) collectors() []prometheus.Collector {
	on := []prometheus.Collector{m.client, m.started, m.handled, m.received, m.sent}
	if m.handling != nil {
		on = append(on, m.handling)
	}
	return on
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
}

// ServerOptions are what a server needs for OpenTelemetry's metrics; what its
// own names count is for it to do, with Method.
func (m *Metrics) ServerOptions() []grpc.ServerOption {
	if m.otel == nil {
		return nil
	}
	return []grpc.ServerOption{opentelemetry.ServerOption(m.options())}
}

// DialOptions make a client connection count its calls.
func (m *Metrics) DialOptions() []grpc.DialOption {
	options := m.client.DialOptions()
	if m.otel != nil {
		options = append(options, opentelemetry.DialOption(m.options()))
	}
	return options
}

func (m *Metrics) options() opentelemetry.Options {
	return opentelemetry.Options{MetricsOptions: opentelemetry.MetricsOptions{
		MeterProvider: m.otel, Metrics: opentelemetry.DefaultMetrics(),
	}}
}
