package browser

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// The cookies.
const (
	loginCookie   = "driftmesh-login" // a login that has begun; see loginOf
	accessCookie  = "driftmesh-access"
	refreshCookie = "driftmesh-refresh"
	deviceCookie  = "driftmesh-device" // kept for longer than a session: the mesh knows who logged in here before

	// securePrefix begins those that browsers take over TLS alone, from this host alone.
	securePrefix = "__Host-"
)

// plain gives the name of a cookie over plain text, and reports whether a request that
// comes so may have it: from the same machine, as far as the browser knows. Several
// meshes may run there, and a browser sends the cookies of one host to all its ports.
func plain(r *http.Request, name string) (string, bool) {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, "80"
	}
	addr, err := netip.ParseAddr(host)
	return name + "-" + port, r.TLS == nil && (host == "localhost" || err == nil && addr.IsLoopback())
}

// read gives a cookie, "" when it is not there, and whether it is a secure one. It gives
// fault.Unauthenticated when there are two: it would be a guess whose they are.
func read(r *http.Request, name string) (value string, secure bool, err error) {
	own, local := plain(r, name)
	for _, one := range []struct {
		name   string
		secure bool
	}{{securePrefix + name, true}, {own, false}} {
		if !one.secure && !local {
			continue
		}
		found := r.CookiesNamed(one.name)
		switch {
		case len(found) > 1:
			return "", false, fault.Unauthenticated.New("the cookie %s was sent more than once", one.name).WithReason("COOKIE_AMBIGUOUS")
		case len(found) == 1:
			return found[0].Value, one.secure, nil
		}
	}
	return "", false, nil
}

// jar sets cookies.
type jar struct {
	to     http.ResponseWriter
	asked  *http.Request
	secure bool
}

// tokens are an answer of auth that begins a session or goes on with it.
type tokens interface {
	GetToken() string
	GetRefreshToken() string
	GetSessionExpireTime() *timestamppb.Timestamp
}

// session keeps both tokens for as long as the session, though the access token ends
// before: else its browser would be nobody then, and not be told.
func (j jar) session(t tokens) {
	ends := t.GetSessionExpireTime().AsTime()
	j.set(accessCookie, t.GetToken(), ends)
	j.set(refreshCookie, t.GetRefreshToken(), ends)
}

func (j jar) set(name, value string, ends time.Time) {
	j.put(&http.Cookie{Name: name, Value: value, Expires: ends, MaxAge: max(int(time.Until(ends).Seconds()), 1)})
}

// maxCookie is what a browser keeps of one, with its name and attributes (RFC 6265,
// 6.1): it drops a longer one without a word.
const maxCookie = 4096 - 128

func (j jar) drop(name string) { j.put(&http.Cookie{Name: name, MaxAge: -1}) }

func (j jar) put(c *http.Cookie) {
	c.Path, c.HttpOnly, c.Secure, c.SameSite = "/", true, j.secure, http.SameSiteLaxMode
	if j.secure {
		c.Name = securePrefix + c.Name
	} else {
		c.Name, _ = plain(j.asked, c.Name)
	}
	http.SetCookie(j.to, c)
}

// UseSession lets a browser's session speak for a request that shows no other
// credentials. Nobody on the way keeps the answer: what caches know of Authorization
// they do not know of cookies.
func UseSession(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" || r.Header.Get("X-Api-Key") != "" {
		return
	}
	token, _, err := read(r, accessCookie)
	if err == nil && token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
		w.Header().Set("Cache-Control", "no-store")
	}
}
