package sdk

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// Option changes how a client works.
type Option func(*config)

type config struct {
	address string    // where to send
	mesh    string    // where to ask, if elsewhere
	carrier Transport // instead of one for the address
	gzip    bool

	transport credentials.TransportCredentials // nil: as the address says
	tls       *tls.Config                      // what transport was made of
	files     *tlsFiles
	access    access
	login     *login
	dial      []grpc.DialOption

	batchRecords int
	batchBytes   int
	linger       time.Duration
	queueRecords int
	queueBytes   int
	inFlight     int
	minWait      time.Duration
	maxWait      time.Duration
	callTimeout  time.Duration

	spans      spanBatch
	sampling   sampling
	service    string
	attributes []attribute.KeyValue
	exporters  []exporter
	capture    captureSettings
	otlpRatio  float64 // of the one that the environment names
	noSpans    bool
	propagate  propagation.TextMapPropagator // nil for the usual
	meters     metric.MeterProvider          // nil for none

	onRejected func(Rejection)
	onUnsent   func(*UnsentError)

	errs []error // of options and variables that cannot be
}

// spanBatch is how spans wait.
type spanBatch struct {
	queue int // how many wait
	spans int // of one batch
	delay time.Duration
}

// sampling is which traces are recorded.
type sampling struct {
	ratio     float64 // of all traces
	set       bool    // somebody said so, which overrides what exporters say
	meshRatio float64
	always    bool // the parent is not asked
}

func defaults() config {
	return config{
		batchRecords: 1000, batchBytes: 1 << 20, linger: 100 * time.Millisecond,
		queueRecords: 50_000, queueBytes: 64 << 20, inFlight: 8,
		minWait: 100 * time.Millisecond, maxWait: 5 * time.Second, callTimeout: 30 * time.Second,
		spans:      spanBatch{queue: 4096, spans: 1024, delay: time.Second},
		sampling:   sampling{ratio: 1, meshRatio: 1},
		capture:    defaultCapture(),
		otlpRatio:  1,
		onRejected: func(Rejection) {}, onUnsent: func(*UnsentError) {},
	}
}

func (c *config) check() error {
	switch {
	case c.batchRecords < 1 || c.batchBytes < 1 || c.linger < 0:
		return errors.New("a batch holds at least one record and lingers no negative time")
	case c.queueRecords < c.batchRecords || c.queueBytes < c.batchBytes:
		return errors.New("the queue must hold at least one batch")
	case c.inFlight < 1:
		return errors.New("at least one batch must be allowed in flight")
	case c.callTimeout <= 0:
		return errors.New("an attempt needs time")
	case c.minWait <= 0 || c.maxWait < c.minWait:
		return errors.New("the waits between attempts must be positive, the longest last")
	case c.spans.spans < 1 || c.spans.delay < 0 || c.spans.queue < c.spans.spans:
		return errors.New("a batch of spans holds at least one, waits no negative time, and fits into the queue")
	case c.sampling.ratio < 0 || c.sampling.ratio > 1 || c.sampling.meshRatio < 0 || c.sampling.meshRatio > 1:
		return errors.New("a sample ratio is between 0 and 1")
	case c.capture.limit < 0:
		return errors.New("the limit of what spans capture is not negative; 0 captures nothing")
	}
	return errors.Join(c.errs...)
}

// WithTLS speaks TLS; nil takes the system's roots. Without it, and without
// WithCA, WithCertificate and an address that begins with grpcs:// or https://,
// the connection is plain text, which is for loopback and for meshes behind a
// proxy.
func WithTLS(cfg *tls.Config) Option {
	return func(c *config) { c.transport, c.tls = credentials.NewTLS(cfg), cfg }
}

// WithToken sends a token with every call.
func WithToken(token string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithTokenSource asks for a token for every call; the source should keep it
// until it expires. An error fails the call, which is made again later. It takes the
// place of a login, as an API key does.
func WithTokenSource(source func(context.Context) (string, error)) Option {
	return func(c *config) { c.access.token, c.login = source, nil }
}

// WithAPIKey sends an API key with every call.
func WithAPIKey(key string) Option {
	return func(c *config) { c.access.apiKey, c.login = key, nil }
}

// WithBatch limits batches of records: so many records, so many bytes, and so long
// since the first record; whichever comes first sends the batch. The default is
// 1000 records, 1 MiB, 100 ms. Batches of spans obey the same bytes.
func WithBatch(records, bytes int, linger time.Duration) Option {
	return func(c *config) { c.batchRecords, c.batchBytes, c.linger = records, bytes, linger }
}

// WithQueue bounds the records that wait for the mesh, sent batches without an
// answer included. The default is 50,000 records and 64 MiB. One record larger
// than that is let in when the queue is empty.
func WithQueue(records, bytes int) Option {
	return func(c *config) { c.queueRecords, c.queueBytes = records, bytes }
}

// WithInFlight limits the batches of each kind that may wait for their answer at a
// time. The default is 8.
func WithInFlight(batches int) Option {
	return func(c *config) { c.inFlight = batches }
}

// WithRetry sets the shortest and the longest wait between attempts while the
// mesh is away; in between the wait doubles, with jitter. A wait that the mesh
// asks for is kept. The default is 100 ms and 5 s.
func WithRetry(shortest, longest time.Duration) Option {
	return func(c *config) { c.minWait, c.maxWait = shortest, longest }
}

// WithOnRejected calls f for every refused record of which the mesh gives the
// reason. It must not block, and must not call the client.
func WithOnRejected(f func(Rejection)) Option {
	return func(c *config) { c.onRejected = f }
}

// WithOnUnsent calls f whenever records or spans are given up because the mesh will
// not have them in this way. It must not block, and must not call the client.
func WithOnUnsent(f func(*UnsentError)) Option {
	return func(c *config) { c.onUnsent = f }
}

// WithDialOptions adds options of gRPC, such as interceptors, or those of package
// grpcmetrics, which counts the calls for Prometheus.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(c *config) { c.dial = append(c.dial, options...) }
}

// WithGzip packs batches for gRPC and HTTP.
func WithGzip() Option {
	return func(c *config) { c.gzip = true }
}

// WithSpanBatch says how spans wait: so many at most, of which so many leave
// together, or fewer when the first has waited so long. The default is 4096, 1024 and
// a second. A span that finds the queue full is dropped and counted: who ends a
// span never waits. Batches on their way, see WithInFlight, come on top.
func WithSpanBatch(queue, batch int, delay time.Duration) Option {
	return func(c *config) { c.spans = spanBatch{queue: queue, spans: batch, delay: delay} }
}

// WithTimeout bounds one attempt to send a batch, or to ask for a profile. The
// default is 30 s.
func WithTimeout(d time.Duration) Option {
	return func(c *config) { c.callTimeout = d }
}

// WithoutTraces sends records alone: the client's provider makes no spans.
func WithoutTraces() Option {
	return func(c *config) { c.noSpans = true }
}

// WithPropagator carries contexts across services in this way. Init registers what
// [Propagator] gives without it.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(c *config) { c.propagate = p }
}

// WithServiceName names the service whose spans these are.
func WithServiceName(name string) Option {
	return func(c *config) { c.service = name }
}

// WithResource adds attributes that describe the process to all of its spans.
func WithResource(attributes ...attribute.KeyValue) Option {
	return func(c *config) { c.attributes = append(c.attributes, attributes...) }
}

// WithSampleRatio records so much of all traces, from 0 to 1. It overrides what
// exporters say. The default is 1. Whoever has a parent does as it does.
func WithSampleRatio(ratio float64) Option {
	return func(c *config) { c.sampling.ratio, c.sampling.set = ratio, true }
}

// WithMeshSampleRatio sends so much of all traces to the mesh, from 0 to 1, where
// another exporter is to have more of them.
func WithMeshSampleRatio(ratio float64) Option {
	return func(c *config) { c.sampling.meshRatio = ratio }
}

// WithoutParent takes the decision about every span by the ratio alone, whatever
// the caller decided.
func WithoutParent() Option {
	return func(c *config) { c.sampling.always = true }
}

// access adds credentials to calls.
type access struct {
	token  func(context.Context) (string, error)
	apiKey string
}

var _ credentials.PerRPCCredentials = access{}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (a access) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	md := make(map[string]string, 1)
	if ctx.Value(anonymously{}) != nil {
		return md, nil
	}
	if a.apiKey != "" {
		md["x-api-key"] = a.apiKey
	}
	if a.token != nil {
		token, err := a.token(ctx)
		if err != nil {
			switch code := status.Code(err); code {
			case codes.Unauthenticated, codes.PermissionDenied:
				return nil, status.Errorf(code, "get a token: %v", err)
			default: // it may be there the next time
				return nil, status.Errorf(codes.Unavailable, "get a token: %v", err)
			}
		}
		md["authorization"] = "Bearer " + token
	}
	return md, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. Plain text
// is the user's choice, by leaving out WithTLS.
func (access) RequireTransportSecurity() bool { return false }
