package clickhouse

import (
	"crypto/tls"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
)

// DefaultDatabase is where the tables are unless the URL names another.
const DefaultDatabase = "driftmesh"

// Config says which ClickHouse to use, and how.
type Config struct {
	// URL is http(s)://user:password@host:8123/database?setting=value. More
	// hosts are given with commas: http://a:8123,b:8123/driftmesh; they must be
	// replicas of one another. For https the parameters ca, cert and key name PEM
	// files: of the authorities that the server's certificate may be issued by, and
	// of a certificate to show. A clickhouse:// DSN is understood as well; its
	// native port (9000, 9440) is mapped to the HTTP one (8123, 8443).
	// Required.
	URL string
	// Cluster is the name of the ClickHouse cluster, for migrations. Empty for
	// the embedded engine and for a single server.
	Cluster string
	// Connections is the most connections to use at once, for queries and for
	// inserts each. Default 8.
	Connections int
	// DialTimeout bounds connecting. Default 5 s.
	DialTimeout time.Duration
	// TLS is used for https. Default: the system's roots.
	TLS *tls.Config
}

// Setting is one ClickHouse setting for one statement.
type Setting struct{ Name, Value string }

// target is a Config taken apart.
type target struct {
	scheme   string
	hosts    []string
	user     string
	password string
	database string
	settings url.Values
	files    tlsfiles.Client
	loopback bool
}

// nativePorts maps the ports of ClickHouse's native protocol, which we do not
// speak, to those of its HTTP interface.
var nativePorts = map[string]string{"": "8123", "9000": "8123", "9440": "8443"}

func (c Config) parse() (target, error) {
	scheme, rest, ok := strings.Cut(c.URL, "://")
	if !ok {
		return target{}, fault.Invalid.New("clickhouse.url has no scheme; it looks like http://user:password@host:8123/database")
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	userinfo, hosts := "", authority
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		userinfo, hosts = authority[:i+1], authority[i+1:]
	}
	// The standard parser takes one host; the others are like it.
	names := strings.Split(hosts, ",")
	u, err := url.Parse(scheme + "://" + userinfo + names[0] + tail)
	if err != nil || u.Hostname() == "" {
		return target{}, fault.Invalid.New("clickhouse.url is malformed; it looks like http://user:password@host:8123/database")
	}
	t := target{scheme: u.Scheme, user: u.User.Username(), database: strings.Trim(u.Path, "/"), settings: u.Query(), loopback: true}
	t.password, _ = u.User.Password()
	native := u.Scheme == "clickhouse" || u.Scheme == "tcp"
	secure := t.settings.Get("secure") == "true"
	t.settings.Del("secure")
	for name, file := range map[string]*string{"ca": &t.files.CA, "cert": &t.files.Cert, "key": &t.files.Key} {
		*file = t.settings.Get(name)
		t.settings.Del(name)
	}
	switch {
	case native && secure:
		t.scheme = "https"
	case native:
		t.scheme = "http"
	case u.Scheme != "http" && u.Scheme != "https":
		return target{}, fault.Invalid.New("clickhouse.url has the unknown scheme %q; use http, https or clickhouse", u.Scheme)
	}
	if t.scheme != "https" && t.files != (tlsfiles.Client{}) {
		return target{}, fault.Invalid.New("clickhouse.url has the parameter ca, cert or key, which are for https")
	}
	if t.user == "" {
		t.user = "default"
	}
	if t.database == "" {
		t.database = DefaultDatabase
	}
	for _, name := range names {
		host, port := splitHost(name)
		if host == "" {
			return target{}, fault.Invalid.New("clickhouse.url names an empty host")
		}
		if port == "" || native {
			port = httpPort(port, t.scheme, native)
		}
		t.hosts = append(t.hosts, net.JoinHostPort(host, port))
		t.loopback = t.loopback && isLoopback(host)
	}
	return t, nil
}

func splitHost(name string) (host, port string) {
	if h, p, err := net.SplitHostPort(name); err == nil {
		return h, p
	}
	return strings.Trim(name, "[]"), ""
}

func httpPort(port, scheme string, native bool) string {
	if native && scheme == "https" && (port == "" || port == "9440") || port == "" && scheme == "https" {
		return "8443"
	}
	if mapped, ok := nativePorts[port]; ok {
		return mapped
	}
	return port
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// WithDatabase returns the URL with another database.
func (c Config) WithDatabase(name string) Config {
	scheme, rest, _ := strings.Cut(c.URL, "://")
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	query := ""
	if i := strings.Index(tail, "?"); i >= 0 {
		query = tail[i:]
	}
	c.URL = scheme + "://" + authority + "/" + url.PathEscape(name) + query
	return c
}
