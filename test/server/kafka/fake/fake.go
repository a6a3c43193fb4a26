// Package fake runs a fake Kafka for tests, which starts in milliseconds: in a
// child process of the test binary, so that it can be killed and frozen as a
// real one. It speaks the protocol, and older versions of it than Kafka 4 does;
// what it cannot prove are replication and compatibility.
//
// A test binary that starts it calls Child first thing in its TestMain.
package fake

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/driftmesh/driftmesh/test/server"
)

// Options of a fake. The zero value is one without authentication.
type Options struct {
	// Port is where clients connect; 0 is a free one.
	Port int
	// Mechanism is the SASL mechanism required of clients, such as
	// SCRAM-SHA-256; default none.
	Mechanism string
	// Users are the passwords by user. The user "admin" may do everything; with
	// ACLs the others may only describe topics.
	Users map[string]string
	// ACLs lets users do only what they are allowed to.
	ACLs bool
	// TLS makes the fake speak TLS with this certificate.
	TLS *server.Certificate `json:"-"`

	Dir               string // filled in by Start
	CertFile, KeyFile string // filled in by Start
}

const (
	childEnv = "DRIFTMESH_TEST_KAFKA_CHILD"
	admin    = "admin"
	starting = 3 * time.Minute
)

// Server is a running fake.
type Server struct {
	*server.Process
	t    server.T
	opts Options
}

var _ server.Broker = (*Server)(nil)

// Start runs a fake until the test ends.
func Start(t server.T, opts Options) *Server {
	t.Helper()
	opts.Dir = t.TempDir()
	if opts.Port == 0 {
		opts.Port = server.FreePort(t)
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
	s.Process = server.StartChild(s.t, "fake kafka", childEnv, s.opts)
	s.Await(starting, server.Listens(s.Addr()))
}

// Addr is the fake's host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.opts.Port)) }

// URL implements server.Broker. With SASL it is the admin's.
func (s *Server) URL() string { return s.URLAs(admin, s.opts.Users[admin]) }

// URLAs is the URL for a user.
func (s *Server) URLAs(user, password string) string {
	u := url.URL{Scheme: "kafka", Host: s.Addr()}
	query := url.Values{"session-timeout": {"1s"}, "partitions": {"4"}}
	if s.opts.TLS != nil {
		u.Scheme = "kafka+tls"
		query.Set("ca", s.opts.CertFile)
	}
	if s.opts.Mechanism != "" {
		u.User = url.UserPassword(user, password)
		query.Set("sasl", strings.ToLower(s.opts.Mechanism))
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// Restart implements server.Broker.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.up()
}

// Child runs the fake and does not return, when the process was started as
// one; else it returns at once.
func Child() { server.Child(childEnv, run) }

func run(o Options) (stop func(), err error) {
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(o.Port), kfake.DataDir(o.Dir),
		kfake.GroupMinSessionTimeout(500 * time.Millisecond),
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "300"}), // retention's clock
	}
	if o.CertFile != "" {
		config, err := server.LoadCertificate(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kfake.TLS(config))
	}
	if o.Mechanism != "" {
		opts = append(opts, kfake.EnableSASL())
	}
	if o.ACLs {
		opts = append(opts, kfake.EnableACLs())
	}
	for name, password := range o.Users {
		if name == admin {
			opts = append(opts, kfake.Superuser(o.Mechanism, name, password))
			continue
		}
		opts = append(opts, kfake.User(o.Mechanism, name, password, kfake.ACL{
			Resource: kmsg.ACLResourceTypeTopic, Name: "*", Pattern: kmsg.ACLResourcePatternTypeLiteral,
			Operation: kmsg.ACLOperationDescribe, Allow: true,
		}))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, err
	}
	return c.Close, nil
}
