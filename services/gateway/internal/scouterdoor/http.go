package scouterdoor

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
)

// codes are Scouter's own, for errors without a reason.
var codes = map[fault.Kind]string{
	fault.Invalid: "BAD_REQUEST", fault.NotFound: "NOT_FOUND", fault.Denied: "PERMISSION_DENIED", fault.Unauthenticated: "UNAUTHORIZED", fault.Exists: "CONFLICT", fault.Conflict: "CONFLICT",
}

// fail answers an error as Scouter does, of which its clients read the status alone.
func fail(w http.ResponseWriter, err error) {
	f := fault.Of(err)
	if f.RetryAfter() > 0 {
		w.Header().Set("Retry-After", fault.RetryHeader(f.RetryAfter()))
	}
	status := f.Kind().HTTP()
	if f.Reason() == "REQUEST_TOO_LARGE" {
		status = http.StatusRequestEntityTooLarge
	}
	write(w, status, map[string]string{"error": f.Message(), "message": f.Message(), "code": cmp.Or(f.Reason(), codes[f.Kind()], "INTERNAL_ERROR")})
}

// write answers in one piece: the clients use a connection again only when the whole
// answer came at once.
func write(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"internal error","message":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Scouter-Api-Version", apiVersion)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller went away: nobody is left to tell
}

// Route answers a request with what is written as JSON, or with an error.
type Route func(r *http.Request) (any, error)

// ServeHTTP implements http.Handler.
func (h Route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := h(r)
	if err != nil {
		fail(w, err)
		return
	}
	write(w, http.StatusOK, answer)
}

// Fail answers a request with an error, as Scouter does.
func (Route) Fail(w http.ResponseWriter, _ *http.Request, err error) { fail(w, err) }

// done is what Scouter says where there is nothing to say.
func done(message string) map[string]string {
	return map[string]string{"status": success, "message": message}
}

// Routes are the routes by pattern, below a path. source tells where a request comes
// from.
func (d *Door) Routes(source func(r *http.Request) string) map[string]Route {
	all := map[string]Route{
		"GET /auth/login": d.login(source), "GET /auth/refresh": d.refresh, "GET /auth/validate": d.valid,
		"GET /healthcheck": health, "GET /api/v1/capabilities": capabilities,
		"POST /message": d.message, "POST /drift": d.message,
		"POST /profile": d.register, "PUT /profile": d.update, "GET /profile": d.download, "POST /profiles": d.versions, "PUT /profile/status": d.status,
		"POST /alerts": d.alerts, "PUT /alerts": d.acknowledge,
		"GET /user": d.users, "POST /user": d.createUser, "GET /user/{username}": d.user, "PUT /user/{username}": d.changeUser, "DELETE /user/{username}": d.deleteUser,
		"GET /tags": d.tags, "POST /tags": d.addTags, "POST /tags/entity": d.entities, "POST /trace/spans/tags": d.taggedSpans,
		"GET /trace/debug/recent": d.recentTraces, "GET /v1/traces/{id}/spans": d.traceSpans, "GET /trace/spans": d.traceSpans, "GET /trace/baggage": d.baggage,
		"POST /trace/paginated": d.tracePage, "POST /trace/spans/filters": d.filteredSpans, "POST /trace/metrics": d.traceMetrics,
		"GET /service/graph": d.graph,
	}
	for _, name := range []string{"genai", "agent"} { // clients have both names
		all["GET /"+name+"/task"] = d.taskResults
		all["POST /"+name+"/page/record"] = d.recordPage
		all["POST /"+name+"/page/workflow"] = d.workflowPage
	}
	for path, v := range views {
		all["POST /genai/metrics/"+path] = d.genai(v)
	}
	for path, kind := range driftRoutes {
		all["GET /drift/"+path] = d.drift(kind)
	}
	return all
}

// Before is what is done with a request of the API before it is asked who calls: a
// token that has run out is renewed, and the answer says so.
func (d *Door) Before(w http.ResponseWriter, r *http.Request) {
	if authorization := r.Header.Get("Authorization"); authorization != "" && len(r.Header["Authorization"]) == 1 {
		onward, token := d.Renewed(r.Context(), authorization)
		if token != "" {
			r.Header.Set("Authorization", onward)
			w.Header().Set("Authorization", onward)
		}
	}
}

func (d *Door) login(source func(r *http.Request) string) Route {
	return func(r *http.Request) (any, error) {
		username, password := r.Header.Get("Username"), r.Header.Get("Password")
		if username == "" || password == "" {
			return nil, fault.Invalid.New("the headers Username and Password are required").WithReason("FIELD_INVALID")
		}
		tenant, name := named(username)
		token, err := d.Login(r.Context(), Login{Tenant: tenant, Username: name, Password: password, Source: source(r)})
		if err != nil {
			return nil, err
		}
		return map[string]string{"token": token}, nil
	}
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

func (d *Door) refresh(r *http.Request) (any, error) {
	token, err := d.Renew(r.Context(), bearer(r))
	if err != nil {
		return nil, err
	}
	return map[string]string{"token": token}, nil
}

func (d *Door) valid(r *http.Request) (any, error) {
	if err := d.validate(r.Context(), bearer(r)); err != nil {
		return nil, err
	}
	return map[string]bool{"is_authenticated": true}, nil
}

func (d *Door) message(r *http.Request) (any, error) {
	raw, err := io.ReadAll(r.Body) // it is in memory already, and bounded
	if err != nil {
		return nil, fault.Invalid.Wrap(err, "the body cannot be read")
	}
	said, err := d.take(r.Context(), raw)
	if err != nil {
		return nil, err
	}
	return done(said), nil
}

// asked reads a request's body.
func asked[T any](r *http.Request) (*T, error) {
	v := new(T)
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		return nil, fault.Invalid.New("the request is not understood: %s", scouter.Why(err)).WithReason("FIELD_INVALID")
	}
	return v, nil
}

// paged is a page of a list, and the cursors to those on both sides, nil for none.
func paged[C any](items any, next, previous *C) map[string]any {
	return map[string]any{"items": items, "has_next": next != nil, "next_cursor": next, "has_previous": previous != nil, "previous_cursor": previous}
}

// asCaller is the context of a call of the gateway's own API with the caller's
// credentials.
func asCaller(ctx context.Context, r *http.Request) context.Context {
	md := metadata.MD{}
	for _, name := range []string{"Authorization", "X-Api-Key"} {
		if values := r.Header.Values(name); len(values) > 0 {
			md.Append(strings.ToLower(name), values...)
		}
	}
	return metadata.NewOutgoingContext(ctx, md)
}
