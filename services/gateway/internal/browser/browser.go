package browser

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/rpc"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// Route is one of the routes, which can answer errors.
type Route struct{ http.HandlerFunc }

// Routes are the routes by pattern. The client is one of the gateway's own public API.
func Routes(auth authv1.AuthServiceClient) map[string]Route {
	h := handler{auth}
	return map[string]Route{
		"GET /login/start/{provider}":    {h.start},
		"GET /login/callback":            {h.callback},
		"GET /login/callback/{provider}": {h.callback},
		"POST /login/refresh":            {h.refresh},
		"POST /login/logout":             {h.logout},
	}
}

// Fail answers a request with an error, for people.
func (Route) Fail(w http.ResponseWriter, _ *http.Request, err error) { fail(w, err) }

type handler struct{ auth authv1.AuthServiceClient }

// start sends the browser to the provider.
func (h handler) start(w http.ResponseWriter, r *http.Request) {
	back := r.URL.Query().Get("return")
	if back == "" {
		back = "/"
	}
	if !local(back) {
		fail(w, fault.Invalid.New("return: want a path of this mesh, such as /").WithReason("FIELD_INVALID"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	begun, err := h.auth.StartLogin(from(ctx, r), &authv1.StartLoginRequest{Provider: r.PathValue("provider"), ReturnTo: back})
	if err != nil {
		fail(w, err)
		return
	}
	jar{w, r, strings.HasPrefix(begun.GetRedirectUri(), "https:")}.set(loginOf(begun.GetRedirectUri()), begun.GetLogin(), begun.GetExpireTime().AsTime())
	send(w, r, begun.GetUrl())
}

// loginOf is the cookie of logins that come back to an address, which is that of all
// providers or ends with the name of one.
func loginOf(address string) string {
	if _, provider, ok := strings.Cut(address, "/login/callback/"); ok {
		return loginCookie + "-" + provider
	}
	return loginCookie
}

// callback ends the login with what the provider says.
func (h handler) callback(w http.ResponseWriter, r *http.Request) {
	cookie := loginOf(r.URL.Path)
	login, secure, err := read(r, cookie)
	if err == nil && login == "" {
		err = fault.Unauthenticated.New("this login was not begun in this browser, or too long ago: begin again").WithReason("LOGIN_UNKNOWN")
	}
	if err != nil {
		fail(w, err)
		return
	}
	cookies := jar{w, r, secure}
	cookies.drop(cookie) // good or not, it is over
	said := r.URL.Query()
	for _, name := range []string{"state", "code", "iss", "error"} {
		if len(said[name]) > 1 { // RFC 6749, 3.1
			fail(w, fault.Invalid.New("%s: was sent more than once", name).WithReason("FIELD_INVALID"))
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	done, err := h.auth.FinishLogin(from(ctx, r), &authv1.FinishLoginRequest{
		Login: login, State: said.Get("state"), Code: said.Get("code"), Issuer: said.Get("iss"), Error: said.Get("error"),
	})
	// A cookie that anybody near could have set is not that of a login over TLS.
	if err == nil && strings.HasPrefix(done.GetRedirectUri(), "https:") != secure {
		err = fault.Unauthenticated.New("this login was not begun in this browser: begin again").WithReason("LOGIN_UNKNOWN")
	}
	if err != nil {
		fail(w, err)
		return
	}
	in := done.GetLogin()
	if len(in.GetToken()) > maxCookie {
		fail(w, fault.Precondition.New("the token is too long for a browser: a rule gives too many spaces").WithReason("TOKEN_TOO_LONG"))
		return
	}
	cookies.session(in)
	back := done.GetReturnTo()
	if !local(back) {
		back = "/"
	}
	send(w, r, back)
}

// deviceLife is how long a browser is known that somebody logged in with.
const deviceLife = 365 * 24 * time.Hour

// LogIn logs in with a name and a password, and keeps the session in cookies: secure
// ones, but for a browser on this machine that speaks plain text.
func LogIn(w http.ResponseWriter, r *http.Request, auth authv1.AuthServiceClient, in *authv1.LoginRequest) error {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	device, _, err := read(r, deviceCookie)
	if err != nil {
		return err
	}
	in.Device = device
	done, err := auth.Login(from(ctx, r), in)
	if err != nil {
		return err
	}
	if len(done.GetToken()) > maxCookie {
		return fault.Precondition.New("the token is too long for a browser: the user may see too many spaces").WithReason("TOKEN_TOO_LONG")
	}
	_, local := plain(r, accessCookie)
	cookies := jar{w, r, !local}
	cookies.session(done)
	cookies.set(deviceCookie, done.GetDevice(), time.Now().Add(deviceLife))
	w.Header().Set("Cache-Control", "no-store")
	return nil
}

// refresh gives the browser the next tokens.
func (h handler) refresh(w http.ResponseWriter, r *http.Request) {
	token, secure, err := read(r, refreshCookie)
	if err == nil && token == "" {
		err = fault.Unauthenticated.New("there is no session: log in").WithReason("SESSION_ENDED")
	}
	if err != nil {
		fail(w, err)
		return
	}
	cookies := jar{w, r, secure}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	next, err := h.auth.RefreshToken(from(ctx, r), &authv1.RefreshTokenRequest{RefreshToken: token})
	if err != nil {
		if err = rpc.Fault(err); errors.Is(err, fault.Unauthenticated) || errors.Is(err, fault.Denied) {
			cookies.drop(accessCookie)
			cookies.drop(refreshCookie)
		}
		fail(w, err)
		return
	}
	cookies.session(next)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// logout ends the session. Where auth cannot be told, the browser forgets it all the
// same.
func (h handler) logout(w http.ResponseWriter, r *http.Request) {
	token, secure, err := read(r, refreshCookie)
	_, local := plain(r, refreshCookie)
	cookies := jar{w, r, secure || !local}
	cookies.drop(accessCookie)
	cookies.drop(refreshCookie)
	if err == nil && token != "" {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		_, err = h.auth.Logout(from(ctx, r), &authv1.LogoutRequest{RefreshToken: token})
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// patience is how long a login may take, the provider's answers with it.
const patience = 40 * time.Second

// from is the context of a call that is nobody's yet, with the address that it comes
// from.
func from(ctx context.Context, r *http.Request) context.Context {
	chain := append([]string{}, r.Header.Values("X-Forwarded-For")...)
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		chain = append(chain, host)
	}
	return metadata.AppendToOutgoingContext(ctx, "x-forwarded-for", strings.Join(chain, ", "))
}

// maxReturn bounds a path to return to, in bytes.
const maxReturn = 1024

// local reports whether a text is a path of this mesh and can be taken for nothing
// else: a browser reads //host and /\host as other hosts, and leaves out control
// characters before it looks.
func local(path string) bool {
	if path == "" || path[0] != '/' || len(path) > maxReturn || strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == '\\' || c == 0x7f }) {
		return false
	}
	u, err := url.Parse(path)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && !strings.HasPrefix(path, "//")
}

// send sends the browser on. Nobody keeps the answer, and the next page is not told
// where it came from.
func send(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, to, http.StatusSeeOther)
}

//go:embed failed.html
var failedText string

var failed = template.Must(template.New("failed").Parse(failedText))

func fail(w http.ResponseWriter, err error) {
	f := fault.Of(rpc.Fault(err))
	var page bytes.Buffer
	if err := failed.Execute(&page, struct{ Message, Reason string }{f.Message(), f.Reason()}); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if wait := f.RetryAfter(); wait > 0 {
		w.Header().Set("Retry-After", fault.RetryHeader(wait))
	}
	w.WriteHeader(f.Kind().HTTP())
	_, _ = w.Write(page.Bytes()) // the browser went away: nobody is left to tell
}
