// Package redis runs a real Redis for tests: one server on loopback, in a
// directory of the test, that answers a command when its log of commands is on
// disk. With the milder "appendfsync everysec", SIGKILL may lose what was
// answered: while the disk is busy with the last second's fsync, the server keeps
// the log in its own memory, for up to two seconds. It needs the distribution's package redis-server,
// whose own service is not touched.
package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/driftmesh/driftmesh/test/server"
)

// Options of a server. The zero value is one where everybody may do everything.
type Options struct {
	// Users are the accounts by name; with any, nobody else gets in.
	Users map[string]User
	// TLS makes the server listen for TLS, and nothing else, with this
	// certificate.
	TLS *server.Certificate
	// Config adds lines to redis.conf, or replaces ours.
	Config map[string]string
	// sentinel makes it watch a primary instead of holding data.
	sentinel bool
}

// User is an account and what it may do, in the words of Redis: "~driftmesh:*
// +@all -xadd". The user named default needs no name to log in.
type User struct {
	Password, Rules string
}

const (
	suite    = "redis"
	host     = "127.0.0.1"
	starting = 3 * time.Minute
	stopping = 10 * time.Second
)

// admin is the account of this package where there are others: it is how we
// know that the server is ready.
const admin, adminPassword = "harness", "harness"

// Server is a running server.
type Server struct {
	*server.Process
	t       server.T
	opts    Options
	program string
	dir     string
	port    int
}

var _ server.Broker = (*Server)(nil)

// Start runs a server until the test ends. It skips the test where Redis is not
// installed.
func Start(t server.T, opts Options) *Server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		server.Missing(t, suite, "redis-server is not installed: "+err.Error())
	}
	s := &Server{t: t, opts: opts, program: program, dir: t.TempDir(), port: server.FreePort(t)}
	if err := os.WriteFile(s.file(), []byte(s.Config()), 0o600); err != nil {
		t.Fatalf("write redis.conf: %v", err)
	}
	s.start()
	return s
}

func (s *Server) file() string { return filepath.Join(s.dir, "redis.conf") }

// Config is the content of redis.conf.
func (s *Server) Config() string {
	set := map[string]string{"bind": host, "port": strconv.Itoa(s.port), "dir": s.dir, "protected-mode": "yes"}
	if !s.opts.sentinel {
		maps.Copy(set, map[string]string{
			"appendonly": "yes", "appendfsync": "always", "save": `""`, "maxmemory-policy": "noeviction",
		})
	}
	if c := s.opts.TLS; c != nil {
		set["port"], set["tls-port"] = "0", strconv.Itoa(s.port)
		set["tls-cert-file"], set["tls-key-file"], set["tls-ca-cert-file"] = c.CertFile, c.KeyFile, c.CertFile
		set["tls-auth-clients"] = "no"
	}
	maps.Copy(set, s.opts.Config)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(set)) {
		for line := range strings.SplitSeq(set[key], "\n") {
			fmt.Fprintf(&b, "%s %s\n", key, line)
		}
	}
	if len(s.opts.Users) == 0 {
		return b.String()
	}
	if _, ok := s.opts.Users["default"]; !ok {
		b.WriteString("user default off ~* &* +@all\n") // as docs/brokers.md has it, and why
	}
	for name, u := range s.opts.Users {
		fmt.Fprintf(&b, "user %s on >%s %s\n", name, u.Password, u.Rules)
	}
	fmt.Fprintf(&b, "user %s on >%s ~* &* +@all\n", admin, adminPassword)
	return b.String()
}

func (s *Server) start() {
	s.t.Helper()
	args := []string{s.file()}
	if s.opts.sentinel {
		args = append(args, "--sentinel")
	}
	s.Process = server.Start(s.t, "redis-server", exec.Command(s.program, args...))
	client := s.Admin()
	defer client.Close()
	s.Await(starting, func(ctx context.Context) error {
		// The library writes about every failed dial to standard error.
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr())
		if err != nil {
			return err
		}
		_ = c.Close()
		return client.Ping(ctx).Err()
	})
}

// Admin is a client of the bare library that may do everything; close it.
func (s *Server) Admin() *goredis.Client {
	opts := &goredis.Options{Addr: s.Addr(), MaxRetries: -1, DialerRetries: 1, TLSConfig: s.tls()}
	if len(s.opts.Users) > 0 {
		opts.Username, opts.Password = admin, adminPassword
	}
	return goredis.NewClient(opts)
}

func (s *Server) tls() *tls.Config {
	if s.opts.TLS == nil {
		return nil
	}
	return s.opts.TLS.Client
}

// Addr is host and port.
func (s *Server) Addr() string { return net.JoinHostPort(host, strconv.Itoa(s.port)) }

// URL implements server.Broker. Where there are users, it is that of the first
// by name.
func (s *Server) URL() string {
	names := slices.Sorted(maps.Keys(s.opts.Users))
	if len(names) == 0 {
		return s.URLOf("", "")
	}
	return s.URLOf(names[0], s.opts.Users[names[0]].Password)
}

// URLOf is the URL for a user; a user without a name has none in it.
func (s *Server) URLOf(user, password string) string {
	u := url.URL{Scheme: "redis", Host: s.Addr()}
	if user != "" || password != "" {
		u.User = url.UserPassword(user, password)
	}
	if s.opts.TLS != nil {
		u.Scheme, u.RawQuery = "rediss", url.Values{"ca": {s.opts.TLS.CertFile}}.Encode()
	}
	return u.String()
}

// Restart implements server.Broker. It kills the server first if it runs.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.start()
}

// Stop ends the server as an operator would.
func (s *Server) Stop() { s.Process.Stop(stopping) }

// ReplicaOf makes the server copy another, or, with nil, a primary.
func (s *Server) ReplicaOf(primary *Server) {
	s.t.Helper()
	to, port := "NO", "ONE"
	if primary != nil {
		to, port = host, strconv.Itoa(primary.port)
	}
	client := s.Admin()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), stopping)
	defer cancel()
	if err := client.ReplicaOf(ctx, to, port).Err(); err != nil {
		s.t.Fatalf("replicaof %s %s: %v", to, port, err)
	}
}

// Set changes the server's configuration while it runs.
func (s *Server) Set(key, value string) {
	s.t.Helper()
	client := s.Admin()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), stopping)
	defer cancel()
	if err := client.ConfigSet(ctx, key, value).Err(); err != nil {
		s.t.Fatalf("set %s: %v", key, err)
	}
}
