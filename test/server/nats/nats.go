// Package nats runs a real NATS server with JetStream for tests and benchmarks:
// in a child process of the program that starts it, so that it can be killed and
// frozen, with file storage in a directory of the test.
//
// A program that starts it calls Child first thing in main, or in TestMain.
package nats

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/driftmesh/driftmesh/test/server"
)

// Options of a server. The zero value is one where everybody may do everything.
type Options struct {
	// Dir holds the streams; default a new directory of the test.
	Dir string
	// Port is where clients connect; 0 is a free one.
	Port int
	// MaxPayload bounds a message with its headers; 0 is 1 MiB.
	MaxPayload int32
	// User and Password are required of clients when given.
	User, Password string
	// DenyPublish are subjects that User may not publish to.
	DenyPublish []string
	// Monitor lets Connections count.
	Monitor bool
	// TLS makes the server require TLS with this certificate.
	TLS *server.Certificate `json:"-"`
	// ConfigFile is a configuration as operators write it, which says who may do
	// what and how TLS is spoken; where the server listens and stores is not its to
	// say.
	ConfigFile string

	MonitorPort       int    // filled in by Start
	CertFile, KeyFile string // filled in by Start
}

const (
	childEnv = "DRIFTMESH_TEST_NATS_CHILD"
	host     = "127.0.0.1"
	starting = 3 * time.Minute
)

// Server is a running server.
type Server struct {
	*server.Process
	t    server.T
	opts Options
}

var _ server.Broker = (*Server)(nil)

// Start runs a server until the test ends.
func Start(t server.T, opts Options) *Server {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	if opts.Port == 0 {
		opts.Port = server.FreePort(t)
	}
	if opts.Monitor {
		opts.MonitorPort = server.FreePort(t)
	}
	if opts.TLS != nil {
		opts.CertFile, opts.KeyFile = opts.TLS.CertFile, opts.TLS.KeyFile
	}
	s := &Server{t: t, opts: opts}
	s.up()
	return s
}

func (s *Server) up() {
	s.t.Helper()
	s.Process = server.StartChild(s.t, "nats", childEnv, s.opts)
	s.Await(starting, server.Listens(s.Addr()))
}

// Addr is the server's host and port.
func (s *Server) Addr() string { return net.JoinHostPort(host, strconv.Itoa(s.opts.Port)) }

// Port is where the server listens.
func (s *Server) Port() int { return s.opts.Port }

// URL implements server.Broker.
func (s *Server) URL() string { return s.URLAs(s.opts.User, s.opts.Password) }

// URLAs is the URL for a user; a user without a name has none in it.
func (s *Server) URLAs(user, password string) string {
	u := url.URL{Scheme: "nats", Host: s.Addr()}
	if user != "" {
		u.User = url.UserPassword(user, password)
	}
	if s.opts.TLS != nil {
		u.Scheme, u.RawQuery = "nats+tls", url.Values{"ca": {s.opts.CertFile}}.Encode()
	}
	return u.String()
}

// Restart implements server.Broker.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.up()
}

// Connections is how many connections a server with Monitor has accepted so
// far.
func (s *Server) Connections() uint64 {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), starting)
	defer cancel()
	var v natsd.Varz
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d/varz", host, s.opts.MonitorPort), nil)
	if err == nil {
		var res *http.Response
		if res, err = http.DefaultClient.Do(req); err == nil {
			err = json.NewDecoder(res.Body).Decode(&v)
			_ = res.Body.Close()
		}
	}
	if err != nil {
		s.t.Fatalf("ask NATS for its connections: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
	return v.TotalConnections
}

// Child runs the server and does not return, when the process was started as
// one; else it returns at once.
func Child() { server.Child(childEnv, run) }

func run(opts Options) (stop func(), err error) {
	o := &natsd.Options{
		Host: host, Port: opts.Port, HTTPHost: host, HTTPPort: opts.MonitorPort, ServerName: "test", NoSigs: true,
		JetStream: true, StoreDir: opts.Dir, JetStreamMaxStore: 1 << 40, // streams reserve their MaxBytes
		MaxPayload: opts.MaxPayload, MaxPending: 64 << 20, Username: opts.User, Password: opts.Password,
	}
	if opts.ConfigFile != "" {
		if err := configured(o, opts.ConfigFile); err != nil {
			return nil, err
		}
	}
	if len(opts.DenyPublish) > 0 {
		o.Username, o.Password = "", ""
		o.Users = []*natsd.User{{
			Username: opts.User, Password: opts.Password,
			Permissions: &natsd.Permissions{Publish: &natsd.SubjectPermission{Deny: opts.DenyPublish}},
		}}
	}
	if opts.CertFile != "" {
		if o.TLSConfig, err = server.LoadCertificate(opts.CertFile, opts.KeyFile); err != nil {
			return nil, err
		}
		o.TLS, o.TLSTimeout = true, 2
	}
	s, err := natsd.NewServer(o)
	if err != nil {
		return nil, err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(starting) {
		return nil, fmt.Errorf("NATS is not ready on port %d", opts.Port)
	}
	return func() {
		s.Shutdown()
		s.WaitForShutdown()
	}, nil
}

// configured takes over what a configuration file says of rights, TLS and sizes.
func configured(o *natsd.Options, file string) error {
	said, err := natsd.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	o.Accounts, o.Users, o.NoAuthUser, o.SystemAccount = said.Accounts, said.Users, said.NoAuthUser, said.SystemAccount
	o.Nkeys, o.Authorization = said.Nkeys, said.Authorization
	o.TLS, o.TLSConfig, o.TLSVerify, o.TLSTimeout = said.TLS, said.TLSConfig, said.TLSVerify, said.TLSTimeout
	o.MaxPayload = said.MaxPayload
	return nil
}
