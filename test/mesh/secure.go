package mesh

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/nats"
)

// Secure is a Five in which everything speaks TLS and everybody has credentials
// of its own: services with one another, callers, NATS, ClickHouse and PostgreSQL.
// Nobody gets in without.
type Secure struct {
	*Five
	// Certs is the directory of the mesh's certificates, as driftmesh certs keeps it.
	// Broker and stores have an authority of their own, in Stores: each can be
	// replaced without the other.
	Certs, Stores string
	// Passwords of the services' users at broker and stores, and of producer, by
	// name.
	Passwords map[string]string
	// AdminToken is what the admin addresses want to see.
	AdminToken string

	nats                       *nats.Server
	brokerAt, storeAt, stateAt string // host and port
}

// StartSecure starts a Secure with the rights that docs/security.md gives, and
// waits until all of it is ready. Programs that call it call nats.Child first.
func StartSecure(t server.T, env ...string) *Secure {
	t.Helper()
	s := &Secure{Five: newFive(t), Passwords: map[string]string{"producer": rand.Text()}, AdminToken: rand.Text()}
	s.Certs = filepath.Join(s.Dir, "certs")
	s.Stores = filepath.Join(s.Dir, "stores")
	s.CA = filepath.Join(s.Certs, "ca.pem")
	s.MustCerts(s.Certs, "make")
	s.MustCerts(s.Stores, append([]string{"make", "nats", "clickhouse", "postgres", "producer"}, Services...)...)
	for _, name := range Services {
		s.Passwords[name] = rand.Text()
	}
	s.startNATS()
	s.storeAt = s.startStore()
	s.stateAt = sqltest.StartSecure(t, sqltest.Secure{
		CA: s.store("ca.pem"), Cert: s.store("postgres.pem"), Key: s.store("postgres.key"),
		Users: map[string]string{"auth": s.Passwords["auth"], "drift": s.Passwords["drift"]},
	})
	s.env = append([]string{
		"DRIFTMESH_MESH_TLS_CERT=" + s.cert("{service}"), "DRIFTMESH_MESH_TLS_KEY=" + s.key("{service}"), "DRIFTMESH_MESH_TLS_CA=" + s.CA,
		"DRIFTMESH_GATEWAY_TLS_CERT=" + s.cert("gateway"), "DRIFTMESH_GATEWAY_TLS_KEY=" + s.key("gateway"), "DRIFTMESH_GATEWAY_ANONYMOUS=false",
		"DRIFTMESH_ADMIN_TOKEN=" + s.file("admin.token", s.AdminToken), "DRIFTMESH_AUTH_BOOTSTRAP_PASSWORD=" + s.file("admin.password", AdminPassword),
	}, env...)
	for _, name := range Services {
		s.own[name] = []string{
			"DRIFTMESH_BROKER_URL=" + s.file(name+".broker", s.BrokerURL(name)),
			"DRIFTMESH_BROKER_PROVISION=" + map[bool]string{true: "true", false: "false"}[name == "ingest-worker"],
			"DRIFTMESH_CLICKHOUSE_URL=" + s.file(name+".clickhouse", s.StoreURL(name)),
			"DRIFTMESH_SQL_URL=" + s.file(name+".postgres", s.StateURL(name)),
			"DRIFTMESH_ADMIN_TLS_CERT=" + s.cert(name), "DRIFTMESH_ADMIN_TLS_KEY=" + s.key(name),
		}
	}
	s.boot()
	return s
}

func (s *Secure) cert(name string) string { return filepath.Join(s.Certs, name+".pem") }
func (s *Secure) key(name string) string  { return filepath.Join(s.Certs, name+".key") }

// store is a file of the broker's and stores' certificates.
func (s *Secure) store(file string) string { return filepath.Join(s.Stores, file) }

// file keeps a secret and gives it as a setting names it.
func (s *Secure) file(name, secret string) string {
	s.t.Helper()
	path := filepath.Join(s.Dir, name)
	require.NoError(s.t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
	return "file:" + path
}

// as is the URL of a user with its certificate, whose files these parameters name.
func (s *Secure) as(user, scheme, address, ca, cert, key string) string {
	query := url.Values{ca: {s.store("ca.pem")}, cert: {s.store(user + ".pem")}, key: {s.store(user + ".key")}}
	u := url.URL{Scheme: scheme, User: url.UserPassword(user, s.Passwords[user]), Host: address, Path: "/driftmesh", RawQuery: query.Encode()}
	return u.String()
}

// BrokerURL is the broker's URL for a user.
func (s *Secure) BrokerURL(user string) string {
	u, err := url.Parse(s.as(user, "nats+tls", s.brokerAt, "ca", "cert", "key"))
	require.NoError(s.t, err)
	u.Path = ""
	if user != "producer" {
		u.RawQuery += "&inbox-prefix=_INBOX_" + user
	}
	return u.String()
}

// BrokerLog is what the broker has written so far: who did what may not be done.
func (s *Secure) BrokerLog() string { return s.nats.Log() }

// MeshSecrets are the secrets that are believed now.
func (s *Secure) MeshSecrets() (all []string) {
	s.t.Helper()
	list, err := settings.ReadSecrets(s.SecretFile())
	require.NoError(s.t, err)
	for _, one := range list {
		all = append(all, one.Reveal())
	}
	return all
}

// StoreURL is ClickHouse's URL for a user.
func (s *Secure) StoreURL(user string) string {
	return s.as(user, "https", s.storeAt, "ca", "cert", "key")
}

// StateURL is PostgreSQL's URL for a user.
func (s *Secure) StateURL(user string) string {
	return s.as(user, "postgres", s.stateAt, "sslrootcert", "sslcert", "sslkey") + "&sslmode=verify-full"
}

// MustCerts runs driftmesh certs on a directory of certificates.
func (s *Secure) MustCerts(dir string, args ...string) {
	s.t.Helper()
	args = append([]string{"certs"}, append(args, "--dir", dir)...)
	out, err := exec.Command(Binary(s.t, "./cmd/driftmesh"), args...).CombinedOutput()
	require.NoError(s.t, err, string(out))
}

// startNATS starts NATS on the configuration in docs/security.md, and that of the
// compose file, which it is made of.
func (s *Secure) startNATS() {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(Root(s.t), "docs", "security.md"))
	require.NoError(s.t, err)
	found := regexp.MustCompile("(?s)```nats\n(.*?)```").FindSubmatch(raw)
	require.Len(s.t, found, 2, "docs/security.md has no configuration of NATS")
	rights, err := os.ReadFile(filepath.Join(Root(s.t), "deploy", "compose", "nats.conf"))
	require.NoError(s.t, err)
	var passwords strings.Builder
	for name, password := range s.Passwords {
		fmt.Fprintf(&passwords, "%s_PASSWORD: %q\n", strings.ToUpper(strings.ReplaceAll(name, "-", "_")), password)
	}
	file := filepath.Join(s.Dir, "nats-tls.conf")
	for path, text := range map[string]string{
		file:                                   strings.ReplaceAll(string(found[1]), "/etc/nats/certs", s.Stores),
		filepath.Join(s.Dir, "nats.conf"):      string(rights),
		filepath.Join(s.Dir, "passwords.conf"): passwords.String(),
	} {
		require.NoError(s.t, os.WriteFile(path, []byte(text), 0o600))
	}
	s.nats = nats.Start(s.t, nats.Options{ConfigFile: file})
	s.Broker, s.brokerAt = s.nats, s.nats.Addr()
}

// startStore starts the engine and what ends TLS in front of it: the engine speaks
// HTTP on loopback and has one user, so certificates and the services' users are
// looked at here, and what each of them may do in the store is not.
func (s *Secure) startStore() (address string) {
	s.t.Helper()
	s.startEngine()
	engine, err := url.Parse(s.Engine.URL())
	require.NoError(s.t, err)
	pair, err := tls.LoadX509KeyPair(s.store("clickhouse.pem"), s.store("clickhouse.key"))
	require.NoError(s.t, err)
	raw, err := os.ReadFile(s.store("ca.pem"))
	require.NoError(s.t, err)
	roots := x509.NewCertPool()
	require.True(s.t, roots.AppendCertsFromPEM(raw))
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", engine.Host
		for _, name := range []string{"X-ClickHouse-User", "X-ClickHouse-Key"} {
			r.Out.Header.Del(name)
		}
		password, _ := engine.User.Password()
		r.Out.SetBasicAuth(engine.User.Username(), password)
	}}
	front := &http.Server{
		ReadHeaderTimeout: time.Minute,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/ping" && !s.known(r) {
				http.Error(w, "Code: 516. DB::Exception: user or password is wrong (AUTHENTICATION_FAILED)", http.StatusForbidden)
				return
			}
			proxy.ServeHTTP(w, r)
		}),
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	done := make(chan error, 1)
	go func() { done <- front.ServeTLS(lis, "", "") }()
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = front.Shutdown(ctx)
		<-done
	})
	return lis.Addr().String()
}

// known tells whether a statement comes from one of the users of the store, whose
// certificate says so too.
func (s *Secure) known(r *http.Request) bool {
	user, password := r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	if u, p, ok := r.BasicAuth(); ok {
		user, password = u, p
	}
	want := s.Passwords[user]
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1 &&
		r.TLS.PeerCertificates[0].Subject.CommonName == user
}
