package rest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/quota"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	meshv1 "github.com/driftmesh/driftmesh/proto/driftmesh/mesh/v1"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
	topicv1 "github.com/driftmesh/driftmesh/proto/driftmesh/topic/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
	"github.com/driftmesh/driftmesh/proto/openapi"
	"github.com/driftmesh/driftmesh/services/gateway/internal/browser"
	"github.com/driftmesh/driftmesh/services/gateway/internal/origin"
	"github.com/driftmesh/driftmesh/services/gateway/internal/site"
)

// Config bounds the HTTP side. Zero fields take the defaults.
type Config struct {
	// MaxBody is the largest request body in bytes. Default 16 MiB.
	MaxBody int64
	// MaxRequests is how many requests may be answered at a time. Default 1024.
	MaxRequests int
	// Stall is how long a caller may neither send nor take a byte. Default 30 s.
	Stall time.Duration
	// Pages says what web pages may do; nil: anything.
	Pages *origin.Policy
}

func (c Config) withDefaults() Config {
	if c.MaxBody <= 0 {
		c.MaxBody = 16 << 20
	}
	if c.MaxRequests <= 0 {
		c.MaxRequests = 1024
	}
	if c.Stall <= 0 {
		c.Stall = 30 * time.Second
	}
	return c
}

// Authenticate tells who calls from the values of the headers authorization
// and x-api-key, "" for one that was not sent.
type Authenticate func(ctx context.Context, authorization, apiKey string) (identity.Identity, error)

// Failer is a handler that can answer an error in its own API's shape.
type Failer interface {
	http.Handler
	Fail(w http.ResponseWriter, r *http.Request, err error)
}

// Deps is what the HTTP side needs. Every field is required.
type Deps struct {
	Conn         *grpc.ClientConn // to the gateway's own gRPC server
	Jaeger       Failer           // serves /api/… and finds the caller in the context
	Spans        http.Handler     // takes spans at /v1/traces, and finds out by itself who calls
	Site         *site.Site       // the user interface
	Authenticate Authenticate
	// Enter tells whether a caller who may do what asks for a permission may do it
	// now, by its tenant's limits; nil is always.
	Enter func(id identity.Identity, p policy.Permission) error
	// Tenants take their places from the same; nil is one for all.
	Tenants *quota.Book
	// Refused is told of requests that end because of who calls, by their route. The
	// context of the request has the caller, if that is known.
	Refused func(r *http.Request, route string, err error)
	// More are routes of other dialects. Optional.
	More []Route
	Log  *slog.Logger
}

// Route is a route of another dialect, which passes the same entrance as the others.
type Route struct {
	Pattern string // as http.ServeMux has it, without what it is below
	Below   string // such as /scouter
	// Before is done before it is asked who calls; it may change the request's
	// credentials. Optional.
	Before func(w http.ResponseWriter, r *http.Request)
	// Elsewhere is the error about a path below the same that has no route.
	Elsewhere func(path string) error
	Failer
}

// identify is Authenticate, and Enter for those who may do what asks for a
// permission; who may not hears so first.
func (d Deps) identify(p policy.Permission) Authenticate {
	if d.Enter == nil {
		return d.Authenticate
	}
	return func(ctx context.Context, authorization, apiKey string) (identity.Identity, error) {
		id, err := d.Authenticate(ctx, authorization, apiKey)
		if err == nil && id.May(p) {
			err = d.Enter(id, p)
		}
		return id, err
	}
}

// New makes the handler of everything. It fails for a route that the policy does
// not know.
func New(cfg Config, deps Deps) (http.Handler, error) {
	cfg = cfg.withDefaults()
	e := newEntrance(policy.HTTP, cfg, deps)
	api, err := newAPI(context.Background(), deps.Conn, e) // the registrations keep it for nothing
	if err != nil {
		return nil, err
	}
	e.mux.Handle("/api/", api)
	e.jaeger("/jaeger")
	traces := tracev1.NewTraceServiceClient(deps.Conn)
	e.handle("GET /api/v1/traces/{trace_id}", 0, taking(traceRoute(traces)))
	e.handle("GET /api/v1/tail/events", 0, apiRoutes{tailEvents(ingestv1.NewIngestServiceClient(deps.Conn))})
	e.handle("GET /api/v1/sql", 0, taking(sqlRoute(traces), "query", "format"))
	e.handle("POST /api/v1/sql", maxStatement, taking(sqlRoute(traces), "format"))
	e.handle("GET /openapi.json", 0, apiRoutes{http.HandlerFunc(document)})
	e.handle("GET /.well-known/jwks.json", 0, apiRoutes{jwks(authv1.NewAuthServiceClient(deps.Conn))})
	for pattern, handler := range browser.Routes(authv1.NewAuthServiceClient(deps.Conn)) {
		e.handle(pattern, 0, handler)
	}
	e.handle("POST /login/password", maxLogin, login(authv1.NewAuthServiceClient(deps.Conn)))
	for _, page := range policy.Pages {
		e.handle("GET "+page, 0, apiRoutes{http.HandlerFunc(deps.Site.Page)})
	}
	e.handle("GET "+policy.Assets, 0, apiRoutes{asset(deps.Site)})
	spans := withSession(deps.Spans)
	for _, pattern := range []string{"/v1/traces", "POST /{$}", "POST /scouter/v1/traces"} { // OTLP's own, and where exporters of Scouter's send unless told
		e.mux.Handle(pattern, spans)
	}
	e.more(deps.More)
	e.mux.HandleFunc("/", nothingHere)
	return guard(cfg, e.mux), e.err
}

// withSession lets the page send sample spans as whoever its session is: a page of
// elsewhere has been turned away by then.
func withSession(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		browser.UseSession(w, r)
		next.ServeHTTP(w, r)
	})
}

// streamPath is not like the others: its body is read while it is answered.
const streamPath = "/api/v1/records:stream"

// apiRoutes are routes whose errors have the API's shape.
type apiRoutes struct{ http.Handler }

// Fail implements Failer.
func (apiRoutes) Fail(w http.ResponseWriter, _ *http.Request, err error) { writeError(w, err) }

// NewJaeger makes the handler of Jaeger's API alone, at the root: where clients
// look for it that drop the path of a URL.
func NewJaeger(cfg Config, deps Deps) (http.Handler, error) {
	cfg = cfg.withDefaults()
	e := newEntrance(policy.Jaeger, cfg, deps)
	e.jaeger("")
	e.mux.HandleFunc("/", nothingHere)
	return guard(cfg, e.mux), e.err
}

func nothingHere(w http.ResponseWriter, _ *http.Request) {
	writeError(w, fault.NotFound.New("there is nothing here").WithReason("NO_SUCH_PATH"))
}

// newAPI makes the JSON routes.
func newAPI(ctx context.Context, conn *grpc.ClientConn, e *entrance) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newMarshaler()),
		runtime.WithMarshalerOption(typeProto, &binary{}),
		runtime.WithIncomingHeaderMatcher(incomingHeader),
		runtime.WithOutgoingHeaderMatcher(noHeader),
		runtime.WithOutgoingTrailerMatcher(noHeader),
		runtime.WithErrorHandler(apiError),
		runtime.WithStreamErrorHandler(streamError),
		runtime.WithRoutingErrorHandler(routingError),
		runtime.WithForwardResponseOption(openTail),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllCharacters),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithMiddlewares(e.json),
	)
	for name, register := range map[string]func() error{
		"auth": func() error {
			return authv1.RegisterAuthServiceHandlerClient(ctx, mux, authv1.NewAuthServiceClient(conn))
		},
		"audit": func() error {
			return auditv1.RegisterAuditServiceHandlerClient(ctx, mux, auditv1.NewAuditServiceClient(conn))
		},
		"ingest": func() error {
			return ingestv1.RegisterIngestServiceHandlerClient(ctx, mux, ingestv1.NewIngestServiceClient(conn))
		},
		"drift": func() error {
			return driftv1.RegisterDriftServiceHandlerClient(ctx, mux, driftv1.NewDriftServiceClient(conn))
		},
		"tags": func() error {
			return driftv1.RegisterTagServiceHandlerClient(ctx, mux, driftv1.NewTagServiceClient(conn))
		},
		"trace": func() error {
			return tracev1.RegisterTraceServiceHandlerClient(ctx, mux, tracev1.NewTraceServiceClient(conn))
		},
		"ledger": func() error {
			return ledgerv1.RegisterLedgerServiceHandlerClient(ctx, mux, ledgerv1.NewLedgerServiceClient(conn))
		},
		"dead letters": func() error {
			return deadletterv1.RegisterDeadLetterServiceHandlerClient(ctx, mux, deadletterv1.NewDeadLetterServiceClient(conn))
		},
		"records": func() error {
			return recordv1.RegisterRecordServiceHandlerClient(ctx, mux, recordv1.NewRecordServiceClient(conn))
		},
		"topics": func() error {
			return topicv1.RegisterTopicServiceHandlerClient(ctx, mux, topicv1.NewTopicServiceClient(conn))
		},
		"mesh": func() error {
			return meshv1.RegisterMeshServiceHandlerClient(ctx, mux, meshv1.NewMeshServiceClient(conn))
		},
	} {
		if err := register(); err != nil {
			return nil, fmt.Errorf("register routes of %s: %w", name, err)
		}
	}
	return mux, nil
}

// incomingHeader chooses the headers that become metadata of the call.
// Authorization passes by itself.
func incomingHeader(key string) (string, bool) {
	switch key {
	case "X-Api-Key":
		return "x-api-key", true
	case "Traceparent":
		return "traceparent", true
	case "Tracestate":
		return "tracestate", true
	case "Baggage":
		return "baggage", true
	}
	return "", false
}

func noHeader(string) (string, bool) { return "", false }

const ndjson = "application/x-ndjson"

// typeProto is the media type of protobuf, in which the same can be asked and
// answered: it is what programs of ours send. Errors are JSON all the same.
const typeProto = "application/x-protobuf"

// binary reads and writes protobuf: one message, so that a stream has one.
type binary struct{ runtime.ProtoMarshaller }

// ContentType implements runtime.Marshaler.
func (*binary) ContentType(any) string { return typeProto }

// NewDecoder implements runtime.Marshaler. The end is an error of its own: whoever
// reads a stream would go on reading nothing for ever.
func (b *binary) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(into any) error {
		body, err := io.ReadAll(r)
		switch {
		case err != nil:
			return err //nolint:wrapcheck // the body's own, which apiError knows
		case len(body) == 0:
			return io.EOF
		}
		return b.Unmarshal(body, into)
	})
}

// marshaler writes streams as one object a line, and says so.
type marshaler struct{ runtime.JSONPb }

func newMarshaler() *marshaler {
	return &marshaler{runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{EmitUnpopulated: true, UseProtoNames: true},
		UnmarshalOptions: protojson.UnmarshalOptions{}, // an unknown field is a mistake worth naming
	}}
}

// StreamContentType implements runtime.StreamContentType.
func (*marshaler) StreamContentType(any) string { return ndjson }

// openTail sends the head of a live view at once: from then on nothing that
// arrives is missed, and the caller knows.
func openTail(ctx context.Context, w http.ResponseWriter, m proto.Message) error {
	method, _ := runtime.RPCMethod(ctx)
	md, _ := runtime.ServerMetadataFromContext(ctx)
	// A call that was refused has no head; its error makes the answer.
	if m != nil || method != ingestv1.IngestService_Tail_FullMethodName || len(md.HeaderMD) == 0 {
		return nil
	}
	w.Header().Set("Content-Type", ndjson)
	return http.NewResponseController(w).Flush()
}

func document(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openapi.Document) // the caller went away: nobody is left to tell
}

// keysFor is how long others may keep the keys.
const keysFor = "public, max-age=60"

func jwks(auth authv1.AuthServiceClient) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := auth.ListKeys(r.Context(), &authv1.ListKeysRequest{})
		if err != nil {
			writeError(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", keysFor)
		_, _ = w.Write([]byte(resp.GetJwks()))
	})
}
