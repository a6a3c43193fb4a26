package route_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
)

const webhookPath = "/services/T000/B000/verysecretverysecret"

// What services answer, however badly, is either arrived, for later or for good,
// and no word of the secret is in it.
func TestAnswers(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, nil)
	hijack := func(w http.ResponseWriter, text string) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = conn.Write([]byte(text))
			_ = conn.Close()
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		kind   fault.Kind // Internal is arrived
		says   string
		wait   time.Duration
	}{
		"200": {answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }},
		"202": {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }},
		"taken, and the answer breaks off": {answer: func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		}},
		"500": {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, kind: fault.Unavailable, says: "answered 500"},
		"503 with a time": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", noon.Add(7*time.Second).Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		}, kind: fault.Unavailable, wait: 7 * time.Second},
		"429": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
		}, kind: fault.Exhausted, wait: 30 * time.Second},
		"429 for a year": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "31536000")
			w.WriteHeader(http.StatusTooManyRequests)
		}, kind: fault.Exhausted, wait: time.Hour},
		"403 with a reason": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "action_prohibited\x1b[31m\nsecond line")
		}, kind: fault.Invalid, says: "answered 403: action_prohibited[31m"},
		"404 that repeats the path": {answer: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "nothing at "+r.URL.Path)
		}, kind: fault.Invalid, says: "nothing at ***"},
		"an endless answer": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			for range 1000 {
				if _, err := w.Write([]byte(strings.Repeat("x", 64<<10))); err != nil {
					return
				}
			}
		}, kind: fault.Invalid, says: "answered 400: xxx"},
		"redirect": {answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}, kind: fault.Invalid, says: "redirects are not followed"},
		"broken off before the answer": {answer: func(w http.ResponseWriter, _ *http.Request) { hijack(w, "HTT") }, kind: fault.Unavailable, says: "cannot be reached"},
		"no answer":                    {answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, kind: fault.Timeout, says: "did not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.answer)
			r := open(t, route.Config{Type: "slack", URL: secret(s.URL + webhookPath), Timeout: 300 * time.Millisecond})
			err := r.Deliver(t.Context(), news(alert.Raised))
			require.Len(t, s.requests(), 1)
			if c.kind == fault.Internal {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.kind)
			require.Contains(t, fault.Of(err).Message(), c.says)
			require.Equal(t, c.wait, fault.Of(err).RetryAfter())
			require.NotContains(t, err.Error(), "verysecret")
			require.Less(t, len(fault.Of(err).Message()), 400)
		})
	}
	require.Empty(t, elsewhere.requests())

	gone := serve(t, nil)
	r := open(t, route.Config{Type: "slack", URL: secret(gone.URL + webhookPath)})
	gone.Close()
	err := r.Deliver(t.Context(), news(alert.Raised))
	require.ErrorIs(t, err, fault.Unavailable)
	require.NotContains(t, err.Error(), "verysecret")
}

// Every setting that cannot work is named, and none is quoted that may be secret.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	_, err := route.New(route.Settings{
		Routes: map[string]route.Config{
			"a":   {Type: "slack", URL: "http://hooks.slack.com/verysecret"},
			"b":   {Type: "pagerduty", Key: "verysecret"},
			"c":   {Type: "pigeon"},
			"d":   {Type: "webhook", URL: "https://h/", Secret: "short"},
			"e":   {Type: "slack"},
			"f":   {Type: "opsgenie"},
			"g":   {Type: "slack", URL: "verysecret"},
			"h h": {Type: "console"},
			"i":   {Type: "slack", URL: "https://h/", Timeout: time.Hour},
			"j":   {Type: "alertmanager", URL: "https://h/", Refresh: time.Minute, Expire: time.Minute},
			"k":   {Type: "email", URL: "smtp://h", From: "me@h", To: []string{"nobody"}},
			"l":   {Type: "slack", URL: "ftp://h/verysecret"},
		},
		Rules:   []route.Rule{{Match: alert.Match{Space: "[a"}, Routes: []string{"console"}}, {Routes: []string{"z"}}, {}},
		Default: []string{"y"},
	}, deps())
	for _, want := range []string{
		"routes.a.url: is not https; plain-http: true allows that", "routes.b.key: must be an integration key", `routes.c.type: is "pigeon", want one of alertmanager,`,
		"routes.d.secret: must be at least 24 bytes", "routes.e.url: must be given", "routes.f.key: must be", "routes.g.url: is no URL", "routes.h h.name: must be",
		"routes.i.timeout: must be", "routes.j.refresh: must be", `routes.k.to: "nobody"`, "routes.l.url: its scheme", `rules.1.match.space: "[a"`,
		`rules.2.routes: there is no route "z", but a,`, "rules.3.routes: must name", `default-routes: there is no route "y"`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "verysecret")
}

func TestEventsFindTheirRoutes(t *testing.T) {
	t.Parallel()
	slack := route.Config{Type: "slack", URL: "https://h/"}
	table := func(s route.Settings) *route.Table {
		s.Routes = map[string]route.Config{"ops": slack, "team": slack, "am": {Type: "alertmanager", URL: "https://h/"}}
		made, err := route.New(s, deps())
		require.NoError(t, err)
		return made
	}
	rules := []route.Rule{
		{Match: alert.Match{Severity: "critical"}, Routes: []string{"ops"}},
		{Match: alert.Match{Space: "pay", Feature: "amount*"}, Routes: []string{"team", "ops"}},
		{Match: alert.Match{Tenant: "other"}, Routes: []string{"am"}},
	}
	e := news(alert.Raised)
	require.Equal(t, []string{"am", "console", "ops", "team"}, table(route.Settings{}).For(e), "to nobody would be worse")
	require.Equal(t, []string{"ops", "team"}, table(route.Settings{Rules: rules}).For(e))
	e.Routes = []string{"console", "gone"}
	require.Equal(t, []string{"console", "ops", "team"}, table(route.Settings{Rules: rules}).For(e))
	e.Severity, e.Title, e.Routes = "", "x/y/1.0.0", []string{"gone"}
	require.Equal(t, []string{"team"}, table(route.Settings{Rules: rules, Default: []string{"team"}}).For(e))
	e.Tenant, e.Change = "other", alert.Acknowledged
	require.Empty(t, table(route.Settings{Rules: rules}).For(e), "Alertmanager has no use for it")
}
