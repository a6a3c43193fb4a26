package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/driftmesh/driftmesh/proto"
)

// Door is one HTTP address of the gateway.
type Door string

// The doors.
const (
	HTTP     Door = "http"      // REST, pages, and Jaeger's API below /jaeger
	Jaeger   Door = "jaeger"    // Jaeger's API at the root
	OTLPHTTP Door = "otlp-http" // OTLP over HTTP
)

// Route is what an HTTP route asks of its callers.
type Route struct {
	Door       Door
	Verb       string // GET, POST, PUT, DELETE
	Path       string // with {…} where anything stands
	RPC        string // the method that a JSON route stands for; empty for others
	Body       string // the field that its body is, * for all of them; empty for none
	Permission Permission
}

// Pattern is the route as http.ServeMux has it.
func (r Route) Pattern() string { return r.Verb + " " + r.Path }

// jaegerRoutes are those of Jaeger's API, which is at two doors.
var jaegerRoutes = []string{
	"GET /api/services",
	"GET /api/services/{service}/operations",
	"GET /api/operations",
	"GET /api/traces",
	"GET /api/traces/{id}",
	"GET /api/dependencies",
	"GET /api/metrics/calls",
	"GET /api/metrics/errors",
	"GET /api/metrics/latencies",
	"GET /api/metrics/minstep",
	"POST /api/transform",
	"GET /api/v3/services",
	"GET /api/v3/operations",
	"GET /api/v3/traces",
	"POST /api/v3/traces",
	"GET /api/v3/dependencies",
	"GET /api/v3/traces/{id}",
	"GET /api/v3/trace-summaries",
	"POST /api/v3/trace-summaries",
}

// Pages are the paths of the user interface, which is one page at all of them.
// Anyone may have it: what the page shows, it asks the API for.
var Pages = []string{
	"/{$}", "/traces", "/traces/{id}", "/compare", "/models", "/models/{space}/{name}/{version}", "/models/{space}/{name}/{version}/backtest", "/alerts", "/alerts/{id}",
	"/map", "/tail", "/pipeline", "/pipeline/dead-letters/{id}", "/admin",
}

// Assets is the path of the files of the user interface.
const Assets = "/assets/{file}"

// plainRoutes are those that stand for no method, the page's, Jaeger's and Scouter's aside.
var plainRoutes = []Route{
	{Door: HTTP, Verb: "GET", Path: "/api/v1/traces/{trace_id}", Permission: TracesRead},
	{Door: HTTP, Verb: "GET", Path: "/api/v1/tail/events", Permission: TailRead},
	{Door: HTTP, Verb: "GET", Path: "/api/v1/sql", Permission: SQLQuery},
	{Door: HTTP, Verb: "POST", Path: "/api/v1/sql", Permission: SQLQuery},
	{Door: HTTP, Verb: "GET", Path: "/openapi.json", Permission: PublicCall},
	{Door: HTTP, Verb: "GET", Path: "/.well-known/jwks.json", Permission: PublicCall},
	{Door: HTTP, Verb: "POST", Path: "/login/password", Permission: PublicCall},
	{Door: HTTP, Verb: "GET", Path: "/login/start/{provider}", Permission: PublicCall},
	{Door: HTTP, Verb: "GET", Path: "/login/callback", Permission: PublicCall},
	{Door: HTTP, Verb: "GET", Path: "/login/callback/{provider}", Permission: PublicCall},
	{Door: HTTP, Verb: "POST", Path: "/login/refresh", Permission: PublicCall},
	{Door: HTTP, Verb: "POST", Path: "/login/logout", Permission: PublicCall},
	{Door: HTTP, Verb: "POST", Path: "/v1/traces", Permission: SpansWrite},
	{Door: HTTP, Verb: "POST", Path: "/{$}", Permission: SpansWrite},
	{Door: HTTP, Verb: "POST", Path: "/scouter/v1/traces", Permission: SpansWrite},
	{Door: OTLPHTTP, Verb: "POST", Path: "/{$}", Permission: SpansWrite},
	{Door: OTLPHTTP, Verb: "POST", Path: "/scouter/v1/traces", Permission: SpansWrite},
	{Door: OTLPHTTP, Verb: "POST", Path: "/v1/traces", Permission: SpansWrite},
	{Door: OTLPHTTP, Verb: "POST", Path: "/v1/metrics", Permission: SpansWrite},
	{Door: OTLPHTTP, Verb: "POST", Path: "/v1/logs", Permission: SpansWrite},
}

// scouterRoutes are those of Scouter's API, below /scouter.
var scouterRoutes = map[string]Permission{
	"GET /auth/login":    PublicCall,
	"GET /auth/refresh":  PublicCall,
	"GET /auth/validate": PublicCall,
	"GET /healthcheck":   PublicCall,

	"GET /api/v1/capabilities": PublicCall,

	"POST /message": RecordsWrite, // spans and tags ask for spans.write besides
	"POST /drift":   RecordsWrite,

	"POST /profile":       ProfilesWrite,
	"PUT /profile":        ProfilesWrite,
	"GET /profile":        ProfilesRead,
	"POST /profiles":      ProfilesRead,
	"PUT /profile/status": ProfilesWrite,

	"GET /drift/spc":            ScoresRead,
	"GET /drift/psi":            ScoresRead,
	"GET /drift/custom":         ScoresRead,
	"GET /drift/genai/task":     ScoresRead,
	"GET /drift/genai/workflow": ScoresRead,
	"GET /drift/agent/task":     ScoresRead,
	"GET /drift/agent/workflow": ScoresRead,

	"GET /genai/task":           RecordsRead,
	"POST /genai/page/record":   RecordsRead,
	"POST /genai/page/workflow": RecordsRead,
	"GET /agent/task":           RecordsRead,
	"POST /agent/page/record":   RecordsRead,
	"POST /agent/page/workflow": RecordsRead,

	"POST /alerts": AlertsRead,
	"PUT /alerts":  AlertsAcknowledge,

	"POST /genai/metrics/tokens":     SQLQuery,
	"POST /genai/metrics/operations": SQLQuery,
	"POST /genai/metrics/models":     SQLQuery,
	"POST /genai/metrics/agents":     SQLQuery,
	"POST /genai/metrics/tools":      SQLQuery,
	"POST /genai/metrics/errors":     SQLQuery,
	"GET /service/graph":             SQLQuery,

	"GET /user":               UsersRead,
	"POST /user":              UsersWrite,
	"GET /user/{username}":    KnownCall, // others than oneself ask for users.read
	"PUT /user/{username}":    KnownCall, // and each change for its own
	"DELETE /user/{username}": UsersWrite,

	"GET /tags":                 TracesRead,
	"POST /tags":                SpansWrite,
	"POST /tags/entity":         TracesRead,
	"POST /trace/spans/tags":    TracesRead,
	"GET /trace/debug/recent":   TracesRead,
	"GET /v1/traces/{id}/spans": TracesRead,
	"GET /trace/spans":          TracesRead,
	"GET /trace/baggage":        TracesRead,
	"POST /trace/paginated":     TracesRead,
	"POST /trace/spans/filters": TracesRead,
	"POST /trace/metrics":       TracesRead,
}

// ScouterPath is what Scouter's API is below.
const ScouterPath = "/scouter"

// routes is every route, made once.
var routes = sync.OnceValues(func() ([]Route, error) {
	all := slices.Clone(plainRoutes)
	for _, pattern := range jaegerRoutes {
		verb, path, _ := strings.Cut(pattern, " ")
		all = append(all,
			Route{Door: HTTP, Verb: verb, Path: "/jaeger" + path, Permission: TracesRead},
			Route{Door: Jaeger, Verb: verb, Path: path, Permission: TracesRead})
	}
	for _, page := range append(slices.Clone(Pages), Assets) {
		all = append(all, Route{Door: HTTP, Verb: "GET", Path: page, Permission: PublicCall})
	}
	for pattern, p := range scouterRoutes {
		verb, path, _ := strings.Cut(pattern, " ")
		all = append(all, Route{Door: HTTP, Verb: verb, Path: ScouterPath + path, Permission: p})
	}
	rest, err := readREST(proto.REST)
	if err != nil {
		return nil, fmt.Errorf("read REST routes: %w", err)
	}
	all = append(all, rest...)
	slices.SortFunc(all, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Door, b.Door), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Verb, b.Verb))
	})
	return all, nil
})

// readREST reads the routes of methods. What they ask for is what the methods
// ask for.
func readREST(raw []byte) ([]Route, error) {
	var doc struct {
		HTTP struct {
			Rules []map[string]string `yaml:"rules"`
		} `yaml:"http"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	out := make([]Route, 0, len(doc.HTTP.Rules))
	for _, rule := range doc.HTTP.Rules {
		selector := rule["selector"]
		i := strings.LastIndexByte(selector, '.')
		if i < 0 {
			return nil, fmt.Errorf("selector %q names no method", selector)
		}
		r := Route{Door: HTTP, RPC: "/" + selector[:i] + "/" + selector[i+1:], Body: rule["body"]}
		for _, verb := range []string{"get", "post", "put", "patch", "delete"} {
			if path := rule[verb]; path != "" {
				r.Verb, r.Path = strings.ToUpper(verb), path
			}
		}
		if r.Verb == "" {
			return nil, fmt.Errorf("%s has no path", selector)
		}
		r.Permission = MethodOf(r.RPC).Permission
		out = append(out, r)
	}
	return out, nil
}

// Routes is every route of every HTTP door, by door and path.
func Routes() ([]Route, error) {
	all, err := routes()
	return slices.Clone(all), err
}

// RouteOf is what the route of a door with this pattern, as http.ServeMux has
// it, asks for. A route that is not known is allowed to nobody.
func RouteOf(door Door, pattern string) Permission {
	all, _ := routes() // none is known when they cannot be read
	for _, r := range all {
		if r.Door == door && r.Pattern() == pattern {
			return r.Permission
		}
	}
	return 0
}
