package sdk

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"time"
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
	// Close ends it. No call of Send comes after it.
	Close(ctx context.Context) error
}

// TransportError is an error of a Transport that knows what it means.
type TransportError struct {
	// Permanent says that the same batch would fail in the same way: it is given up
	// and counted. All others are sent again, as long as it takes.
	Permanent bool
	// Access says of a permanent error that it speaks of who sends, not of what was
	// sent.
	Access bool
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
	if _, known := transports.by[scheme]; known || open == nil {
		panic(fmt.Sprintf("sdk: the scheme %q is registered twice, or with nothing", scheme))
	}
	transports.by[scheme] = open
}

// WithTransport sends spans and records through t, which the client closes when
// it is shut down. Where the address is that of a broker, profiles are asked for
// at the one of [WithMesh].
func WithTransport(t Transport) Option {
	return func(c *config) { c.carrier = t }
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
