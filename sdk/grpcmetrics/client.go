package grpcmetrics

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Config says what is measured beside the counters. Its zero value is the four
// counters alone.
type Config struct {
	// HandlingTime measures calls: grpc_client_handling_seconds.
	HandlingTime bool
	// ReceiveTime measures how long each message of a stream was waited for:
	// grpc_client_msg_recv_handling_seconds.
	ReceiveTime bool
	// SendTime measures how long each message of a stream took to hand over:
	// grpc_client_msg_send_handling_seconds.
	SendTime bool
	// Buckets are the upper bounds of the histograms in seconds, ascending; nil
	// means prometheus.DefBuckets.
	Buckets []float64
	// Legacy gives the names of older libraries instead: grpc_client_completed
	// and grpc_client_completed_latency_seconds. The first has no exemplars:
	// OpenMetrics knows a counter whose name does not end in _total as of unknown
	// type, and Prometheus refuses all that is scraped when one of those has any.
	Legacy bool
}

// Client counts the calls of any number of client connections. It is a
// prometheus.Collector and safe for concurrent use.
type Client struct {
	legacy                           bool
	started, handled, received, sent *prometheus.CounterVec
	handling, receive, send          *prometheus.HistogramVec // nil when off

	methods sync.Map // of key to *method
}

var _ prometheus.Collector = (*Client)(nil)

// New makes the metrics of clients. Register them with Prometheus, and give
// DialOptions to each connection.
func New(cfg Config) *Client {
	handled, handling := "grpc_client_handled_total", "grpc_client_handling_seconds"
	if cfg.Legacy {
		handled, handling = "grpc_client_completed", "grpc_client_completed_latency_seconds"
	}
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(on bool, name, help string) *prometheus.HistogramVec {
		if !on {
			return nil
		}
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: cfg.Buckets}, labels)
	}
	return &Client{
		legacy:   cfg.Legacy,
		started:  counter("grpc_client_started_total", "Calls that the client began.", labels),
		handled:  counter(handled, "Calls that ended, well or not, by the code they ended with.", append(labels[:3:3], "grpc_code")),
		received: counter("grpc_client_msg_received_total", "Messages that the client received.", labels),
		sent:     counter("grpc_client_msg_sent_total", "Messages that the client sent.", labels),
		handling: histogram(cfg.HandlingTime, handling, "Seconds from the beginning of a call to its end."),
		receive:  histogram(cfg.ReceiveTime, "grpc_client_msg_recv_handling_seconds", "Seconds that a message of a stream was waited for."),
		send:     histogram(cfg.SendTime, "grpc_client_msg_send_handling_seconds", "Seconds that it took to hand over a message of a stream."),
	}
}

// collectors are those that are on.
func (c *Client) collectors() []prometheus.Collector {
	on := []prometheus.Collector{c.started, c.handled, c.received, c.sent}
	for _, h := range []*prometheus.HistogramVec{c.handling, c.receive, c.send} {
		if h != nil {
			on = append(on, h)
		}
	}
	return on
}

// Describe implements prometheus.Collector.
func (c *Client) Describe(ch chan<- *prometheus.Desc) {
	for _, one := range c.collectors() {
		one.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (c *Client) Collect(ch chan<- prometheus.Metric) {
	for _, one := range c.collectors() {
		one.Collect(ch)
	}
}

// DialOptions make a connection count its calls. Give them last: interceptors
// that were given before see the call first, and may make several of one.
func (c *Client) DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(c.unary), grpc.WithChainStreamInterceptor(c.stream)}
}

func (c *Client) unary(ctx context.Context, name string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	m := c.method("unary", name)
	begun := time.Now()
	m.started.Inc()
	m.sent.Inc()
	err := invoke(ctx, name, req, reply, cc, opts...)
	if err == nil {
		m.received.Inc()
	}
	m.ended(c, ctx, begun, err)
	return err
}

func (c *Client) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, name string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	m := c.method(typeOf(desc), name)
	begun := time.Now()
	m.started.Inc()
	// gRPC tells the end of every call, also of one that could not begin, whose
	// caller went away, or who did not read to the end.
	opts = append(opts[:len(opts):len(opts)], grpc.OnFinish(func(err error) { m.ended(c, ctx, begun, err) }))
	stream, err := open(ctx, desc, cc, name, opts...)
	if err != nil {
		return nil, err
	}
	return &counted{ClientStream: stream, method: m, exemplar: exemplar(ctx)}, nil
}

func typeOf(desc *grpc.StreamDesc) string {
	switch {
	case !desc.ServerStreams:
		return "client_stream"
	case !desc.ClientStreams:
		return "server_stream"
	}
	return "bidi_stream"
}

// key tells methods apart. One method has one type, but for clients of others
// that mistake it.
type key struct{ kind, name string }

// method is what is counted of one method.
type method struct {
	kind, service, name     string
	started, received, sent prometheus.Counter
	handling, receive, send prometheus.Observer // nil when off
}

func (c *Client) method(kind, full string) *method {
	if m, ok := c.methods.Load(key{kind, full}); ok {
		return m.(*method) //nolint:forcetypeassert // nothing else is kept
	}
	service, name, ok := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	if !ok {
		service, name = "unknown", "unknown"
	}
	m := &method{
		kind: kind, service: service, name: name,
		started: c.started.WithLabelValues(kind, service, name), received: c.received.WithLabelValues(kind, service, name),
		sent: c.sent.WithLabelValues(kind, service, name),
	}
	for _, h := range []struct {
		of *prometheus.HistogramVec
		to *prometheus.Observer
	}{{c.handling, &m.handling}, {c.receive, &m.receive}, {c.send, &m.send}} {
		if h.of != nil {
			*h.to = h.of.WithLabelValues(kind, service, name)
		}
	}
	kept, _ := c.methods.LoadOrStore(key{kind, full}, m)
	return kept.(*method) //nolint:forcetypeassert // nothing else is kept
}

// ended counts the end of a call.
func (m *method) ended(c *Client, ctx context.Context, begun time.Time, err error) { //nolint:revive // a method of the method, about the client's call
	trace := exemplar(ctx)
	observe(m.handling, begun, trace)
	if c.legacy {
		trace = nil
	}
	add(c.handled.WithLabelValues(m.kind, m.service, m.name, status.Code(err).String()), trace)
}

// counted counts the messages of a stream.
type counted struct {
	grpc.ClientStream
	method   *method
	exemplar prometheus.Labels
}

// SendMsg implements grpc.ClientStream.
func (s *counted) SendMsg(m any) error {
	begun := time.Now()
	err := s.ClientStream.SendMsg(m)
	if err == nil {
		s.method.sent.Inc()
	}
	observe(s.method.send, begun, s.exemplar)
	return err
}

// RecvMsg implements grpc.ClientStream.
func (s *counted) RecvMsg(m any) error {
	begun := time.Now()
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		s.method.received.Inc()
	}
	observe(s.method.receive, begun, s.exemplar)
	return err
}

// exemplar names the trace that a call belongs to, when that is kept.
func exemplar(ctx context.Context) prometheus.Labels {
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		return prometheus.Labels{"trace_id": sc.TraceID().String()}
	}
	return nil
}

func add(c prometheus.Counter, exemplar prometheus.Labels) {
	if e, ok := c.(prometheus.ExemplarAdder); ok && exemplar != nil {
		e.AddWithExemplar(1, exemplar)
		return
	}
	c.Inc()
}

func observe(o prometheus.Observer, begun time.Time, exemplar prometheus.Labels) {
	if o == nil {
		return
	}
	seconds := time.Since(begun).Seconds()
	if e, ok := o.(prometheus.ExemplarObserver); ok && exemplar != nil {
		e.ObserveWithExemplar(seconds, exemplar)
		return
	}
	o.Observe(seconds)
}
