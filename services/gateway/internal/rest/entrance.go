package rest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
)

// entrance is the way in of every route of a door, by what the policy says that
// the route asks for:
//
//	guard ▶ who calls ▶ who may ▶ form of the body ▶ body ▶ a place ▶ handler
//
// A caller who is not known, or may not, costs a refusal and no body.
type entrance struct {
	door  policy.Door
	cfg   Config
	deps  Deps
	desk  *desk
	mux   *http.ServeMux
	rules map[rule]jsonRoute
	err   error // of all routes that the policy does not know
}

// rule is a JSON route as grpc-gateway has it.
type rule struct{ verb, pattern string }

// jsonRoute is what such a route asks of its callers, and what it may be asked.
type jsonRoute struct {
	permission policy.Permission
	question   question
}

// maxLogin is the most bytes of a body that nobody answers for.
const maxLogin = 16 << 10

func newEntrance(door policy.Door, cfg Config, deps Deps) *entrance {
	e := &entrance{door: door, cfg: cfg, deps: deps, desk: newDesk(cfg, deps.Tenants), mux: http.NewServeMux(), rules: map[rule]jsonRoute{}}
	routes, err := policy.Routes()
	e.err = err
	for _, r := range routes {
		if r.RPC != "" && r.Door == door {
			q, err := questionOf(r)
			e.err = errors.Join(e.err, err)
			e.rules[rule{r.Verb, pattern(r.Path)}] = jsonRoute{r.Permission, q}
		}
	}
	return e
}

// pattern is a path of rest.yaml as grpc-gateway writes it out: {id} is {id=*}.
func pattern(path string) string {
	var out strings.Builder
	for path != "" {
		open := strings.IndexByte(path, '{')
		end := strings.IndexByte(path, '}')
		if open < 0 || end < open {
			break
		}
		out.WriteString(path[:end])
		if !strings.Contains(path[open:end], "=") {
			out.WriteString("=*")
		}
		out.WriteByte('}')
		path = path[end+1:]
	}
	out.WriteString(path)
	return out.String()
}

// handle serves a route that stands for no method.
func (e *entrance) handle(pattern string, maxBody int64, next Failer) {
	p := policy.RouteOf(e.door, pattern)
	if p == 0 {
		e.err = errors.Join(e.err, fmt.Errorf("the policy does not know the route %s", pattern))
		return
	}
	e.mux.Handle(pattern, e.allowed(pattern, p, e.desk.whole(maxBody, next)))
}

// maxBody is the most bytes of a body of what asks for a permission.
func (e *entrance) maxBody(p policy.Permission) int64 {
	if p == policy.PublicCall {
		return maxLogin
	}
	return e.cfg.MaxBody
}

// more serves the routes of other dialects, and says of all others below the same
// path that they are not served, to whoever is known.
func (e *entrance) more(routes []Route) {
	below := map[string]Route{}
	for _, r := range routes {
		verb, path, _ := strings.Cut(r.Pattern, " ")
		pattern := verb + " " + r.Below + path
		p := policy.RouteOf(e.door, pattern)
		if p == 0 {
			e.err = errors.Join(e.err, fmt.Errorf("the policy does not know the route %s", pattern))
			continue
		}
		below[r.Below] = r
		e.mux.Handle(pattern, r.first(e.allowed(pattern, p, jsonOnly(e.desk.whole(e.maxBody(p), r)))))
	}
	for path, r := range below {
		e.mux.Handle(path+"/", r.first(e.allowed(path+"/", policy.KnownCall, failer{r, func(w http.ResponseWriter, req *http.Request) {
			hangUp(w, req)
			r.Fail(w, req, r.Elsewhere(strings.TrimPrefix(req.URL.Path, path)))
		}})))
	}
}

// first does what has to be done before it is asked who calls.
func (r Route) first(next http.Handler) http.Handler {
	if r.Before == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.Before(w, req)
		next.ServeHTTP(w, req)
	})
}

// allowed lets those in who may, and says who may not.
func (e *entrance) allowed(route string, p policy.Permission, next Failer) Failer {
	return allowed(e.deps.identify(p), p, told{next, func(r *http.Request, err error) { e.deps.Refused(r, route, err) }})
}

// told is a Failer whose failing somebody hears of.
type told struct {
	Failer
	hears func(r *http.Request, err error)
}

// Fail implements Failer.
func (t told) Fail(w http.ResponseWriter, r *http.Request, err error) {
	t.hears(r, err)
	t.Failer.Fail(w, r, err)
}

// jaeger serves those of Jaeger's routes that the policy knows, below a path.
func (e *entrance) jaeger(below string) {
	routes, _ := policy.Routes() // newEntrance has seen the error
	for _, r := range routes {
		if r.Door == e.door && r.RPC == "" && strings.HasPrefix(r.Path, below+"/api/") && !strings.HasPrefix(r.Path, "/api/v1/") {
			in := e.allowed(r.Pattern(), r.Permission, e.desk.whole(e.cfg.MaxBody, e.deps.Jaeger))
			e.mux.Handle(r.Pattern(), http.StripPrefix(below, in))
		}
	}
	e.mux.Handle(below+"/api/", http.StripPrefix(below, e.allowed(below+"/api/", policy.KnownCall, failer{e.deps.Jaeger, e.noSuchRoute})))
}

func (e *entrance) noSuchRoute(w http.ResponseWriter, r *http.Request) {
	hangUp(w, r)
	e.deps.Jaeger.Fail(w, r, fault.NotFound.New("there is no such route").WithReason("NO_SUCH_ROUTE"))
}

// json is around the handlers of JSON routes, behind their choice and before
// their bodies are read.
func (e *entrance) json(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		at, _ := runtime.HTTPPattern(r.Context())
		route := e.rules[rule{r.Method, at.String()}]
		permission := route.permission
		in := Failer(apiRoutes{route.question.ask(func(w http.ResponseWriter, r *http.Request) {
			next(&opening{ResponseWriter: w, body: bodyOf(r.Context())}, r, params)
		})})
		if r.URL.Path == streamPath {
			in = e.desk.stream(in)
		} else {
			in = e.desk.whole(e.maxBody(permission), in)
		}
		if permission == policy.RecordsWrite {
			in = e.desk.charged(in)
		}
		e.allowed(r.Method+" "+at.String(), permission, jsonOnly(in)).ServeHTTP(w, r)
	}
}
