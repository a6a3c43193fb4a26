package jaeger

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/internal/fault"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// Config bounds the handler. Zero fields take the defaults named.
type Config struct {
	// CallTimeout bounds one request to the trace store; default 30 s.
	CallTimeout time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Handler serves Jaeger's query API. It is safe for concurrent use.
type Handler struct {
	// Patterns are the routes that it knows, as http.ServeMux has them.
	Patterns []string

	mux     *http.ServeMux
	traces  tracev1.TraceServiceClient
	log     *slog.Logger
	timeout time.Duration
	now     func() time.Time
}

// New makes a handler that reads from traces. The caller's identity must be in
// the request's context, where traces finds it.
func New(cfg Config, traces tracev1.TraceServiceClient, log *slog.Logger) *Handler {
	h := &Handler{mux: http.NewServeMux(), traces: traces, log: log, timeout: cfg.CallTimeout, now: cfg.Now}
	if h.timeout <= 0 {
		h.timeout = 30 * time.Second
	}
	if h.now == nil {
		h.now = time.Now
	}
	h.handle("GET /api/services", h.services)
	h.handle("GET /api/services/{service}/operations", h.operationNames)
	h.handle("GET /api/operations", h.operations)
	h.handle("GET /api/traces", h.search)
	h.handle("GET /api/traces/{id}", h.trace)
	h.handle("GET /api/dependencies", h.dependencies)
	h.handle("GET /api/metrics/calls", h.calls)
	h.handle("GET /api/metrics/errors", h.errors)
	h.handle("GET /api/metrics/latencies", h.latencies)
	h.handle("GET /api/metrics/minstep", h.minStep)
	h.handle("POST /api/transform", h.transform)
	h.handle("GET /api/v3/services", h.servicesV3)
	h.handle("GET /api/v3/operations", h.operationsV3)
	h.handle("GET /api/v3/traces", h.searchV3)
	h.handle("POST /api/v3/traces", h.searchV3)
	h.handle("GET /api/v3/dependencies", h.dependenciesV3)
	h.handle("GET /api/v3/traces/{id}", h.traceV3)
	h.handle("GET /api/v3/trace-summaries", h.summariesV3)
	h.handle("POST /api/v3/trace-summaries", h.summariesV3)
	return h
}

func (h *Handler) handle(pattern string, answer http.HandlerFunc) {
	h.Patterns = append(h.Patterns, pattern)
	h.mux.HandleFunc(pattern, answer)
}

// ServeHTTP answers one request, whose path begins with /api.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !validText(r.URL) {
		h.failAs(w, r, fault.Invalid.New("the path or a parameter is not UTF-8").WithReason("BAD_PARAMETER"))
		return
	}
	h.mux.ServeHTTP(w, r)
}

// validText says that nothing in a URL is other than UTF-8, which gRPC would not
// carry.
func validText(u *url.URL) bool {
	if !utf8.ValidString(u.Path) {
		return false
	}
	for name, values := range u.Query() {
		if !utf8.ValidString(name) || !utf8.ValidString(strings.Join(values, "")) {
			return false
		}
	}
	return true
}

// failAs fails in the shape of the API that was called.
func (h *Handler) failAs(w http.ResponseWriter, r *http.Request, err error) {
	if strings.HasPrefix(r.URL.Path, "/api/v3/") {
		h.failV3(w, r, err)
		return
	}
	h.Fail(w, r, err)
}

func (h *Handler) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, h.timeout)
}
