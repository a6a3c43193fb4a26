package sdk

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

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

	transport credentials.TransportCredentials // nil: as the address says
	files     *tlsFiles
	access    access
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

	onRejected func(Rejection)
	onUnsent   func(*UnsentError)
}

func defaults() config {
	return config{
		batchRecords: 1000, batchBytes: 1 << 20, linger: 100 * time.Millisecond,
		queueRecords: 50_000, queueBytes: 64 << 20, inFlight: 8,
		minWait: 100 * time.Millisecond, maxWait: 10 * time.Second, callTimeout: 30 * time.Second,
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
	case c.minWait <= 0 || c.maxWait < c.minWait:
		return errors.New("the waits between attempts must be positive, the longest last")
	}
	return nil
}

// WithTLS speaks TLS; nil takes the system's roots. Without it, and without
// WithCA, WithCertificate and an address that begins with grpcs:// or https://,
// the connection is plain text, which is for loopback and for meshes behind a
// proxy.
func WithTLS(cfg *tls.Config) Option {
	return func(c *config) { c.transport = credentials.NewTLS(cfg) }
}

// WithToken sends a token with every call.
func WithToken(token string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithTokenSource asks for a token for every call; the source should keep it
// until it expires. An error fails the call, which is made again later.
func WithTokenSource(source func(context.Context) (string, error)) Option {
	return func(c *config) { c.access.token = source }
}

// WithAPIKey sends an API key with every call.
func WithAPIKey(key string) Option {
	return func(c *config) { c.access.apiKey = key }
}

// WithBatch limits batches: so many records, so many bytes, and so long since
// the first record; whichever comes first sends the batch. The default is 1000
// records, 1 MiB, 100 ms.
func WithBatch(records, bytes int, linger time.Duration) Option {
	return func(c *config) { c.batchRecords, c.batchBytes, c.linger = records, bytes, linger }
}

// WithQueue bounds what waits for the mesh, sent batches without an answer
// included. The default is 50,000 records and 64 MiB. One record larger than
// that is let in when the queue is empty.
func WithQueue(records, bytes int) Option {
	return func(c *config) { c.queueRecords, c.queueBytes = records, bytes }
}

// WithInFlight limits the batches that may wait for their answer at a time. The
// default is 8.
func WithInFlight(batches int) Option {
	return func(c *config) { c.inFlight = batches }
}

// WithRetry sets the shortest and the longest wait between attempts while the
// mesh is away; in between the wait doubles, with jitter. A wait that the mesh
// asks for is kept. The default is 100 ms and 10 s.
func WithRetry(shortest, longest time.Duration) Option {
	return func(c *config) { c.minWait, c.maxWait = shortest, longest }
}

// WithOnRejected calls f for every refused record of which the mesh gives the
// reason. It must not block, and must not call the client.
func WithOnRejected(f func(Rejection)) Option {
	return func(c *config) { c.onRejected = f }
}

// WithOnUnsent calls f whenever records are given up. It must not block, and
// must not call the client.
func WithOnUnsent(f func(*UnsentError)) Option {
	return func(c *config) { c.onUnsent = f }
}

// WithDialOptions adds options of gRPC, such as interceptors, or those of package
// grpcmetrics, which counts the calls for Prometheus.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(c *config) { c.dial = append(c.dial, options...) }
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
	if a.apiKey != "" {
		md["x-api-key"] = a.apiKey
	}
	if a.token != nil {
		token, err := a.token(ctx)
		if err != nil {
			// Unavailable: it may be there the next time.
			return nil, status.Errorf(codes.Unavailable, "get a token: %v", err)
		}
		md["authorization"] = "Bearer " + token
	}
	return md, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. Plain text
// is the user's choice, by leaving out WithTLS.
func (access) RequireTransportSecurity() bool { return false }
