package gateway_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The user interface is one page at all of its addresses, which may load its own files
// and nothing else; it holds nothing that needs credentials.
func TestTheUserInterface(t *testing.T) {
	t.Parallel()
	w := start(t)
	code, head, page := w.request(http.MethodGet, w.http+"/", "")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "text/html; charset=utf-8", head.Get("Content-Type"))
	require.Equal(t, "no-cache", head.Get("Cache-Control"))
	policy := head.Get("Content-Security-Policy")
	for _, rule := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		require.Contains(t, policy, rule)
	}
	require.NotContains(t, policy, "unsafe")
	for _, at := range []string{"/traces", "/traces/" + knownTrace, "/models", "/models/wine/red/1.0.0", "/models/wine/red/1.0.0/backtest", "/alerts", "/alerts/1", "/pipeline", "/pipeline/dead-letters/1", "/admin"} {
		code, _, same := w.request(http.MethodGet, w.http+at, "")
		require.Equal(t, http.StatusOK, code, at)
		require.Equal(t, page, same, at)
	}
	files := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(string(page), -1)
	require.GreaterOrEqual(t, len(files), 3)
	for _, f := range files {
		require.True(t, strings.HasPrefix(f[1], "/assets/"), f[1])
		code, head, plain := w.request(http.MethodGet, w.http+f[1], "")
		require.Equal(t, http.StatusOK, code, f[1])
		require.Contains(t, head.Get("Cache-Control"), "immutable")
		require.NotEmpty(t, plain)
	}
	require.NotContains(t, string(page), "<style")
	require.NotRegexp(t, `<script[^>]*>[^<]`, string(page), "no inline script")
	code, _, _ = w.request(http.MethodGet, w.http+"/assets/none.js", "")
	require.Equal(t, http.StatusNotFound, code)
}

// A browser logs in with a name and a password and keeps cookies that no script reads.
func TestALoginWithAPassword(t *testing.T) {
	t.Parallel()
	w := start(t)
	log := func(origin, kind, body string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.http+"/login/password", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", kind)
		if origin != "" {
			req.Header.Set("Origin", origin)
			req.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		resp, err := w.client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp
	}
	const good = `{"tenant":"acme","username":"ann","password":"right"}`
	resp := log("", "application/json", good)
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
	names := map[string]bool{}
	for _, c := range resp.Cookies() {
		require.True(t, c.HttpOnly, c.Name)
		require.Equal(t, http.SameSiteLaxMode, c.SameSite, c.Name)
		names[c.Name] = true
	}
	for _, name := range []string{"driftmesh-access-", "driftmesh-refresh-", "driftmesh-device-"} {
		require.True(t, names[name+w.port()], "%s in %v", name, names)
	}
	for name, bad := range map[string]struct {
		origin, kind, body string
		want               int
	}{
		"a wrong password":         {"", "application/json", `{"tenant":"acme","username":"ann","password":"wrong"}`, http.StatusUnauthorized},
		"a page of another site":   {"https://evil.example", "application/json", good, http.StatusForbidden},
		"a form that anyone sends": {"", "text/plain", good, http.StatusUnsupportedMediaType},
		"no JSON":                  {"", "application/json", "{", http.StatusBadRequest},
		"more than it takes":       {"", "application/json", `{"username":"` + strings.Repeat("x", 20<<10) + `"}`, http.StatusRequestEntityTooLarge},
	} {
		resp := log(bad.origin, bad.kind, bad.body)
		require.Equal(t, bad.want, resp.StatusCode, name)
		require.Empty(t, resp.Cookies(), name)
	}
}
