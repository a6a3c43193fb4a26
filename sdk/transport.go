package sdk

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Type says what a batch holds. Its text is how the mesh's topic inbox names the
// same content.
type Type string

const (
	// TypeSpans is an ExportTraceServiceRequest of OpenTelemetry.
	TypeSpans Type = "otlp.traces.v1"
	// TypeRecords is a PublishRecordsRequest of driftmesh, whose bytes are those of
	// a RecordBatch.
	TypeRecords Type = "records.v1"
)

// Batch is what travels at once: one encoded request.
type Batch struct {
	// ID names the batch, and stays when it is sent again. A broker may use it to
	// drop one that came twice; the mesh counts nothing twice in any case.
	ID string
	// Type says what Body is.
	Type Type
	// Body is protobuf. Nobody changes it: a transport may keep it after Send has
	// returned.
	Body []byte
	// Items is how many spans or records are in Body.
	Items int
}

// Answer says what became of a batch that was taken.
type Answer struct {
	// Rejected is how many of its items were refused for good; all others are
	// durable. A broker does not know: there it is 0, and the mesh's ledger and dead
	// letters say what was refused behind it.
	Rejected uint64
	// Rejections say why, for the first hundred at most. Where the mesh gives one
	// reason for all there is one.
	Rejections []Rejection
}

// Transport carries batches to a mesh. It is safe for concurrent use: several
// batches are on their way at a time.
type Transport interface {
	// Send returns nil when the batch is durable: the mesh or its broker has it and
	// will not lose it. It makes one attempt and obeys ctx; the client tries again.
	// An error is a *TransportError where the transport knows what it means; any
	// other is taken for one that will pass.
	Send(ctx context.Context, b Batch) (Answer, error)
	// MaxBytes is the largest Body that it carries. The client cuts what is larger
	// before, and gives up an item that alone is larger.
	MaxBytes() int
	// Close ends it, and may be called twice. No call of Send comes after it.
	Close(ctx context.Context) error
}

// TransportError is an error of a Transport that knows what it means.
type TransportError struct {
	// Permanent says that the same batch would fail in the same way: it is given up
	// and counted. All others are sent again, as long as it takes, and hold up what
	// comes behind.
	Permanent bool
	// Suspect says that the batch may be the cause, as when the mesh fails over it:
	// it holds no other batch up, and is given up after some attempts.
	Suspect bool
	// RetryAfter is how long the mesh asks to wait; 0 when it does not say.
	RetryAfter time.Duration
	// Cause is what happened.
	Cause error
}

// Error is the cause's.
func (e *TransportError) Error() string { return e.Cause.Error() }

// Unwrap gives the cause.
func (e *TransportError) Unwrap() error { return e.Cause }

// TransportConfig is what a client knows besides the address when it opens a
// transport.
type TransportConfig struct {
	// Authorization gives the credentials to send along, by the names of headers in
	// lower case: "authorization", "x-api-key". It is asked for every batch, and is
	// empty where there are none. An error may pass. It is never nil.
	Authorization func(ctx context.Context) (map[string]string, error)
	// TLS is how to speak TLS; nil leaves it to the scheme.
	TLS *tls.Config
}

// OpenTransport opens a transport for an address, scheme included. It does not
// wait for the mesh: what is sent is tried until it is there. An error is a
// mistake in the address or the configuration.
type OpenTransport func(address string, cfg TransportConfig) (Transport, error)

var transports = struct {
	sync.RWMutex
	by map[string]OpenTransport
}{by: map[string]OpenTransport{}}

// RegisterTransport makes addresses that begin with scheme:// known to WithAddress,
// New and DRIFTMESH_URL. The packages of sdk/broker call it when they are imported,
// as drivers of database/sql do; one of our own does the same. It panics when the
// scheme is known already.
func RegisterTransport(scheme string, open OpenTransport) {
	transports.Lock()
	defer transports.Unlock()
	_, known := transports.by[scheme]
	if known || open == nil || slices.Contains(own, scheme) {
		panic(fmt.Sprintf("sdk: the scheme %q is registered twice, or with nothing", scheme)) //nolint:forbidigo // a mistake in the program, as sql.Register has it
	}
	transports.by[scheme] = open
}

// own are the schemes that need nobody.
var own = []string{"grpc", "grpcs", "http", "https"}

// WithTransport sends spans and records through t, which the client closes when
// it is shut down. Where the address is that of a broker, profiles are asked for
// at the one of [WithMesh].
func WithTransport(t Transport) Option {
	return func(c *config) { c.carrier = t }
}

// NewTransport opens the transport that New would use for an address and options,
// for who sends batches of its own, or stands between a client and its transport
// (see WithTransport). It does not wait for the mesh.
func NewTransport(address string, options ...Option) (Transport, error) {
	cfg := defaults()
	cfg.address = address
	for _, o := range options {
		o(&cfg)
	}
	err := cfg.check()
	if err == nil {
		var t Transport
		if t, _, err = cfg.open(cfg.address); err == nil {
			return t, nil
		}
	}
	return nil, fmt.Errorf("make driftmesh transport: %w", err)
}

// WithAddress says where to send: "host:port", "grpc://…" or "grpcs://…" for gRPC,
// "http://…" or "https://…" for HTTP, or a broker's address, such as "nats://…",
// where its package of sdk/broker is imported. It is what New takes as its argument.
func WithAddress(address string) Option {
	return func(c *config) { c.address = address }
}

// WithMesh says where the mesh itself is, to be asked for profiles, when spans and
// records go another way: by WithTransport, or to a broker. It is an address of
// gRPC or HTTP.
func WithMesh(address string) Option {
	return func(c *config) { c.mesh = address }
}

// open opens what the options say: a transport, and a connection to ask the mesh
// where the transport has one.
func (c *config) open(address string) (Transport, grpc.ClientConnInterface, error) {
	if c.carrier != nil {
		return c.carrier, nil, nil
	}
	return c.openAddress(address)
}

func (c *config) openAddress(address string) (Transport, grpc.ClientConnInterface, error) {
	scheme, _, _ := strings.Cut(address, "://")
	broker, _, _ := strings.Cut(scheme, "+")
	transports.RLock()
	open := transports.by[scheme]
	known := slices.Sorted(maps.Keys(transports.by))
	transports.RUnlock()
	switch {
	case open != nil:
		t, err := open(address, c.transportConfig())
		if err != nil {
			return nil, nil, fmt.Errorf("open %s: %w", scheme, err)
		}
		return t, nil, nil
	case brokers[broker] != "":
		return nil, nil, fmt.Errorf("nothing is registered for addresses of %s, only for %q: import %s", scheme, known, brokers[broker])
	}
	if scheme == "http" || scheme == "https" {
		t, err := newHTTPTransport(c, address)
		return t, t, err
	}
	conn, err := dial(c, address)
	if err != nil {
		return nil, nil, err
	}
	return newGRPCTransport(c, conn), conn, nil
}

// brokers says which package registers a scheme, with or without what follows a +,
// for those who forget it.
var brokers = map[string]string{
	"nats": brokerModule + "nats", "kafka": brokerModule + "kafka",
	"amqp": brokerModule + "rabbitmq", "amqps": brokerModule + "rabbitmq", "redis": brokerModule + "redis", "rediss": brokerModule + "redis",
}

const brokerModule = "github.com/driftmesh/driftmesh/sdk/broker/"

func (c *config) transportConfig() TransportConfig {
	return TransportConfig{
		Authorization: func(ctx context.Context) (map[string]string, error) { return c.access.GetRequestMetadata(ctx) },
		TLS:           c.tls,
	}
}

// nowhere is what is asked where no mesh is known.
type nowhere struct{}

var errNowhere = status.Error(codes.FailedPrecondition, "the transport cannot be asked for profiles: say with WithMesh where the mesh is")

// Invoke implements grpc.ClientConnInterface.
func (nowhere) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return errNowhere }

// NewStream implements grpc.ClientConnInterface.
func (nowhere) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errNowhere
}
