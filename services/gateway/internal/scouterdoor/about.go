package scouterdoor

import (
	"net/http"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Version is the one of Scouter that is spoken, and apiVersion that of its API.
const (
	Version    = "0.25.0"
	apiVersion = "1.0.0"
)

func health(*http.Request) (any, error) {
	return map[string]any{"alive": true, "version": Version}, nil
}

func capabilities(*http.Request) (any, error) {
	return map[string]any{
		"api_version": apiVersion, "server_version": Version,
		"features":  map[string]bool{"drift_detection": true, "distributed_tracing": true, "agent_evaluation": true, "alerting": true, "datasets": false},
		"endpoints": map[string]string{"health": "/scouter/healthcheck", "login": "/scouter/auth/login", "message": "/scouter/message", "openapi": "/openapi.json"},
		"auth":      map[string]string{"auth_type": "bearer", "login": "/scouter/auth/login", "refresh": "/scouter/auth/refresh"},
	}, nil
}

// elsewhere says of what Scouter serves and this door does not where to turn, by the
// beginning of the path below its own.
var elsewhere = []struct{ path, sentence string }{
	{"/profile/download", "use GET /scouter/profile, as Scouter's client does"},
	{"/trace/refresh-summary", "there is nothing to refresh: a trace is there as soon as its spans are stored"},
	{"/observability", "Scouter's own server refuses these records; durations and errors of services are at GET /jaeger/api/metrics"},
	{"/genai/conversation", "ask for the spans with POST /scouter/trace/spans/filters and the attribute filter gen_ai.conversation.id:ID"},
	{"/genai", "the metrics of tokens, operations, models, agents, tools and errors are; ask for more with SQL at POST /api/v1/sql: the attributes gen_ai.* of spans are in the column SpanAttributes of otel_traces"},
	{"/eval/scenarios", "keep scenarios in a file with the application: Scouter's EvalOrchestrator runs them there"},
	{"/datasets", "tables of your own are not kept here: keep them where the application keeps its data, and ask for spans with SQL at POST /api/v1/sql"},
	{"/api/v1/docs", "the documentation is in docs/scouter.md"},
	{"/api/v1/openapi.json", "the document of the mesh's own API is at GET /openapi.json"},
}

// Elsewhere is the error about a path below Scouter's own that has no route here.
func Elsewhere(path string) error {
	for _, e := range elsewhere {
		if path == e.path || strings.HasPrefix(path, e.path+"/") {
			return fault.Unsupported.New("/scouter%.100s is not served here: %s", path, e.sentence).WithReason("NOT_SERVED")
		}
	}
	return fault.NotFound.New("Scouter has no route /scouter%.100s with this method", path).WithReason("NO_SUCH_ROUTE")
}

// unserved are Scouter's gRPC services that are not served.
var unserved = map[string]string{
	"DatasetService":      "/datasets",
	"EvalScenarioService": "/eval/scenarios",
}

// UnservedCall is the error about a method of a gRPC service of Scouter's that is not
// served, nil for all others.
func UnservedCall(method string) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(method, services), "/")
	path, ok := unserved[name]
	if !ok || !Is(method) {
		return nil
	}
	for _, e := range elsewhere {
		if e.path == path {
			return fault.Unsupported.New("%s is not served here: %s", strings.TrimPrefix(method, "/"), e.sentence).WithReason("NOT_SERVED")
		}
	}
	return nil
}
