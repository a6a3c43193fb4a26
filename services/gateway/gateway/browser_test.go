package gateway_test

import (
	"cmp"
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
	"github.com/driftmesh/driftmesh/test/server"
)

// fakeLogins are logins at a provider as auth has them: the login is what the answer's
// state has to be.
type fakeLogins struct {
	mu       sync.Mutex
	redirect string
	returnTo string
	source   string
	finished []*authv1.FinishLoginRequest
	loggedIn bool
	token    string // empty is a good one
}

func (f *fakeAuth) StartLogin(ctx context.Context, req *authv1.StartLoginRequest) (*authv1.StartLoginResponse, error) {
	f.logins.mu.Lock()
	defer f.logins.mu.Unlock()
	if f.logins.redirect == "" || req.GetProvider() != "corp" {
		return nil, fault.NotFound.New("there is no provider %q", req.GetProvider()).WithReason("PROVIDER_UNKNOWN")
	}
	f.logins.returnTo = req.GetReturnTo()
	f.logins.source = strings.Join(metadata.ValueFromIncomingContext(ctx, identity.HeaderSource), ",")
	return &authv1.StartLoginResponse{
		Url: "https://login.example.com/auth?state=s1", State: "s1", Login: "sealed-s1", RedirectUri: f.logins.redirect,
		ExpireTime: timestamppb.New(time.Now().Add(10 * time.Minute)),
	}, nil
}

func (f *fakeAuth) FinishLogin(_ context.Context, req *authv1.FinishLoginRequest) (*authv1.FinishLoginResponse, error) {
	f.logins.mu.Lock()
	defer f.logins.mu.Unlock()
	f.logins.finished = append(f.logins.finished, req)
	if req.GetLogin() != "sealed-"+req.GetState() {
		return nil, fault.Unauthenticated.New("this answer belongs to another <login>").WithReason("LOGIN_STATE_INVALID")
	}
	f.logins.loggedIn = true
	ends := timestamppb.New(time.Now().Add(time.Minute))
	access := cmp.Or(f.logins.token, token("acme", nil))
	return &authv1.FinishLoginResponse{
		Tenant: "acme", Username: "oidc:corp:ann", ReturnTo: f.logins.returnTo, RedirectUri: f.logins.redirect,
		Login: &authv1.LoginResponse{Token: access, ExpireTime: ends, RefreshToken: "refresh-1", SessionExpireTime: ends},
	}, nil
}

func (f *fakeAuth) ListProviders(context.Context, *authv1.ListProvidersRequest) (*authv1.ListProvidersResponse, error) {
	return &authv1.ListProvidersResponse{}, nil
}

func (f *fakeAuth) ExchangeToken(context.Context, *authv1.ExchangeTokenRequest) (*authv1.ExchangeTokenResponse, error) {
	return nil, fault.Unauthenticated.New("the token is malformed").WithReason("TOKEN_MALFORMED")
}

// atProvider lets users of the world's gateway log in.
func (w *world) atProvider(redirect string) {
	w.auth.logins.mu.Lock()
	defer w.auth.logins.mu.Unlock()
	w.auth.logins.redirect = redirect
}

func (w *world) port() string {
	u, err := url.Parse(w.http)
	require.NoError(w.t, err)
	return u.Port()
}

// person is a client that keeps cookies and goes nowhere by itself.
func (w *world) person() *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(w.t, err)
	return &http.Client{Jar: jar, Transport: w.client.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// say sends a request without a body.
func (w *world) say(c *http.Client, method, at string, head ...string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, at, http.NoBody)
	require.NoError(w.t, err)
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Add(head[i], head[i+1])
	}
	resp, err := c.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	rec := httptest.NewRecorder()
	_, err = rec.Body.ReadFrom(resp.Body)
	require.NoError(w.t, err)
	return resp, rec.Body.String()
}

// A person with a browser logs in, is known by cookies that no page reads, and logs out.
func TestALoginWithABrowser(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.atProvider(w.http + "/login/callback")
	ann := w.person()
	resp, _ := w.say(ann, http.MethodGet, w.http+"/login/start/corp?return=/api/v1/whoami", "X-Forwarded-For", "192.0.2.1")
	require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	require.Equal(t, "https://login.example.com/auth?state=s1", resp.Header.Get("Location"))
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	require.Equal(t, "127.0.0.1", w.auth.logins.source, "auth is told who logs in, and no lie")
	requireCookie(t, resp, "driftmesh-login-"+w.port(), false)

	resp, _ = w.say(ann, http.MethodGet, w.http+"/login/callback?state=s1&code=c&iss=https://login.example.com")
	require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	require.Equal(t, "/api/v1/whoami", resp.Header.Get("Location"))
	require.Equal(t, "https://login.example.com", w.auth.logins.finished[0].GetIssuer())
	requireCookie(t, resp, "driftmesh-access-"+w.port(), false)
	requireCookie(t, resp, "driftmesh-refresh-"+w.port(), false)
	resp, body := w.say(ann, http.MethodGet, w.http+"/api/v1/whoami")
	require.Contains(t, body, `"tenant":"acme"`)
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	_, body = w.say(ann, http.MethodGet, w.http+"/api/v1/whoami", "Authorization", "Bearer "+token("beta", nil))
	require.Contains(t, body, `"tenant":"beta"`, "what is shown beats what is kept")
	resp, _ = w.say(ann, http.MethodGet, w.http+"/login/callback?state=s1&code=c")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "the login is over")

	// No page of another site acts with the cookies.
	for _, head := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		for _, path := range []string{"/api/v1/profiles:run", "/v1/traces", "/login/logout", "/login/refresh"} {
			resp, body := w.say(ann, http.MethodPost, w.http+path, head...)
			require.Equal(t, http.StatusForbidden, resp.StatusCode, path)
			require.Contains(t, body, "CROSS_ORIGIN")
		}
	}
	resp, _ = w.say(ann, http.MethodPost, w.http+"/login/logout", "Sec-Fetch-Site", "same-origin")
	require.NotContains(t, []int{http.StatusForbidden, http.StatusOK}, resp.StatusCode)
	resp, _ = w.say(ann, http.MethodGet, w.http+"/api/v1/whoami")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "forgotten, though auth said something else")
	resp, _ = w.say(ann, http.MethodPost, w.http+"/login/refresh")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)

	// Another mesh on this machine gets the cookies too, and does not take them for its own.
	w.say(ann, http.MethodGet, w.http+"/login/start/corp")
	w.say(ann, http.MethodGet, w.http+"/login/callback?state=s1&code=c")
	other := start(t, anonymous)
	_, body = w.say(ann, http.MethodGet, other.http+"/api/v1/whoami")
	require.Contains(t, body, `"kind":"anonymous"`)

	// A cookie that is wrong is refused where it is asked for, and bars no way in.
	u, err := url.Parse(w.http)
	require.NoError(t, err)
	ann.Jar.SetCookies(u, []*http.Cookie{{Name: "driftmesh-access-" + w.port(), Value: signed("acme", foreign, "k1", nil)}})
	resp, _ = w.say(ann, http.MethodGet, w.http+"/api/v1/whoami")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	resp, _ = w.say(ann, http.MethodGet, w.http+"/login/start/corp")
	require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	resp, body = w.say(w.person(), http.MethodGet, w.http+"/api/v1/whoami", "Cookie", "driftmesh-access-"+w.port()+"="+token("acme", nil)+"; driftmesh-access-"+w.port()+"="+token("beta", nil))
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode, body)
}

func requireCookie(t *testing.T, resp *http.Response, name string, secure bool) {
	t.Helper()
	for _, c := range resp.Cookies() {
		if c.Name == name {
			require.True(t, c.HttpOnly)
			require.Equal(t, http.SameSiteLaxMode, c.SameSite)
			require.Equal(t, secure, c.Secure)
			require.Equal(t, "/", c.Path)
			require.Empty(t, c.Domain)
			require.Positive(t, c.MaxAge)
			return
		}
	}
	require.Fail(t, "no cookie", "%s in %v", name, resp.Cookies())
}

// Nobody is sent from here to another place, by a link or by what came back from a login.
func TestALoginReturnsHere(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.atProvider(w.http + "/login/callback")
	for _, back := range []string{
		"https://evil.example/", "//evil.example", `/\evil.example`, `\/evil.example`, "/\t/evil.example", "/\n/evil.example", " //evil.example", "/ /evil.example",
		"evil.example", "javascript:alert(1)", "data:text/html,x", "http:/evil.example", "///evil.example", "/" + strings.Repeat("x", 2000), "/%zz",
	} {
		resp, body := w.say(w.person(), http.MethodGet, w.http+"/login/start/corp?return="+url.QueryEscape(back))
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, "%q", back)
		require.Empty(t, resp.Header.Get("Location"))
		require.NotContains(t, body, "evil")

		ann := w.person()
		w.say(ann, http.MethodGet, w.http+"/login/start/corp")
		w.auth.logins.mu.Lock()
		w.auth.logins.returnTo = back
		w.auth.logins.mu.Unlock()
		resp, _ = w.say(ann, http.MethodGet, w.http+"/login/callback?state=s1&code=c")
		require.Equal(t, "/", resp.Header.Get("Location"), "%q", back)
	}
	for _, back := range []string{"/", "/traces/0102?x=//y", "/a/b#c"} {
		resp, _ := w.say(w.person(), http.MethodGet, w.http+"/login/start/corp?return="+url.QueryEscape(back))
		require.Equal(t, http.StatusSeeOther, resp.StatusCode, back)
	}
}

// What goes wrong is said on a page, which shows what others wrote as text.
func TestALoginThatFails(t *testing.T) {
	t.Parallel()
	w := start(t)
	resp, body := w.say(w.person(), http.MethodGet, w.http+"/login/start/corp")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Contains(t, body, "PROVIDER_UNKNOWN")
	w.atProvider(w.http + "/login/callback")
	ann := w.person()
	w.say(ann, http.MethodGet, w.http+"/login/start/corp")
	resp, body = w.say(ann, http.MethodGet, w.http+"/login/callback?state=another&code=c")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.Contains(t, body, "another &lt;login&gt;")
	require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'none'")
	w.say(ann, http.MethodGet, w.http+"/login/start/corp")
	resp, _ = w.say(ann, http.MethodGet, w.http+"/login/callback?state=s1&state=s2&code=c")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.False(t, w.auth.logins.loggedIn)

	w.auth.logins.mu.Lock()
	w.auth.logins.token = strings.Repeat("x", 4000)
	w.auth.logins.mu.Unlock()
	w.say(ann, http.MethodGet, w.http+"/login/start/corp")
	resp, body = w.say(ann, http.MethodGet, w.http+"/login/callback?state=s1&code=c")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.Contains(t, body, "TOKEN_TOO_LONG")
	for _, c := range resp.Cookies() {
		require.Negative(t, c.MaxAge, c.Name)
	}
}

// Over TLS the cookies are secure ones of this host alone, and others do not count: a
// neighbour of the same domain could have set them.
func TestALoginOverTLS(t *testing.T) {
	t.Parallel()
	cert := server.NewCertificate(t)
	w := start(t, func(c *gateway.Config) { c.TLS.Cert, c.TLS.Key = cert.CertFile, cert.KeyFile })
	at := "https://" + bare(w.http)
	w.atProvider(at + "/login/callback")
	ann := w.person()
	transport := &http.Transport{TLSClientConfig: cert.Client}
	defer transport.CloseIdleConnections()
	ann.Transport = transport
	resp, _ := w.say(ann, http.MethodGet, at+"/login/start/corp")
	requireCookie(t, resp, "__Host-driftmesh-login", true)
	resp, _ = w.say(ann, http.MethodGet, at+"/login/callback?state=s1&code=c")
	require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	requireCookie(t, resp, "__Host-driftmesh-access", true)
	requireCookie(t, resp, "__Host-driftmesh-refresh", true)
	_, body := w.say(ann, http.MethodGet, at+"/api/v1/whoami")
	require.Contains(t, body, `"tenant":"acme"`)

	tossed := w.person()
	tossed.Transport = transport
	resp, _ = w.say(tossed, http.MethodGet, at+"/login/callback?state=s1&code=c", "Cookie", "driftmesh-login-"+w.port()+"=sealed-s1")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	resp, _ = w.say(tossed, http.MethodGet, at+"/api/v1/whoami", "Cookie", "driftmesh-access-"+w.port()+"="+token("acme", nil))
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)

	// Where something in front ends TLS and calls us localhost, as the one who logs in
	// knows: the login was begun over TLS, and ends so.
	behind := start(t)
	behind.atProvider("https://mesh.example.com/login/callback")
	resp, _ = behind.say(behind.person(), http.MethodGet, behind.http+"/login/start/corp")
	requireCookie(t, resp, "__Host-driftmesh-login", true)
	resp, _ = behind.say(behind.person(), http.MethodGet, behind.http+"/login/callback?state=s1&code=c", "Cookie", "driftmesh-login-"+behind.port()+"=sealed-s1")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.Empty(t, resp.Header.Get("Location"))
	resp, _ = behind.say(behind.person(), http.MethodGet, behind.http+"/login/callback?state=s1&code=c", "Cookie", "__Host-driftmesh-login=sealed-s1")
	require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	requireCookie(t, resp, "__Host-driftmesh-access", true)
}

// Where each provider has an address of its own, what comes back to one's ends no login
// that was begun at another: auth is not even asked.
func TestALoginEndsAtItsOwnProvidersAddress(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.atProvider(w.http + "/login/callback/corp")
	ann := w.person()
	resp, _ := w.say(ann, http.MethodGet, w.http+"/login/start/corp")
	requireCookie(t, resp, "driftmesh-login-corp-"+w.port(), false)
	for _, path := range []string{"/login/callback/other", "/login/callback", "/login/callback/corp/", "/login/callback/CORP"} {
		resp, _ = w.say(ann, http.MethodGet, w.http+path+"?state=s1&code=c")
		require.GreaterOrEqual(t, resp.StatusCode, http.StatusUnauthorized, path)
	}
	require.Empty(t, w.auth.logins.finished)
	resp, _ = w.say(ann, http.MethodGet, w.http+"/login/callback/corp?state=s1&code=c")
	require.Equal(t, http.StatusSeeOther, resp.StatusCode)
	require.Len(t, w.auth.logins.finished, 1)
}
