// Package kafka runs a real Apache Kafka for tests: one node, which is broker
// and controller (KRaft), on loopback and in a directory of the test. It needs
// Java 17 and the jars that scripts/setup-kafka.sh fetches.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/driftmesh/driftmesh/test/server"
)

// Mechanisms of SASL.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// Options of a server. The zero value is one without authentication.
type Options struct {
	// Port is where clients connect; 0 is a free one.
	Port int
	// Advertise is the address that clients are told to connect to, such as a
	// proxy's; default is the server's own.
	Advertise string
	// Mechanism is the SASL mechanism required of clients; default none.
	Mechanism string
	// Users are the passwords by user. With any, "admin" is added, who may do
	// everything.
	Users map[string]string
	// ACLs lets users do only what they are allowed to; otherwise everybody may
	// do everything.
	ACLs bool
	// TLS makes the server speak TLS with this certificate.
	TLS *server.Certificate
	// Config adds lines to server.properties.
	Config map[string]string
}

const (
	suite    = "kafka"
	host     = "127.0.0.1"
	starting = 3 * time.Minute
	admin    = "admin"
	secret   = "admin-secret"
)

// Server is a running server.
type Server struct {
	*server.Process
	t       server.T
	opts    Options
	java    string
	jars    string
	dir     string
	control int // port of the controller
}

var _ server.Broker = (*Server)(nil)

// Start runs a server until the test ends. It skips the test where there is no
// Java or no jars.
func Start(t server.T, opts Options) *Server {
	t.Helper()
	java, jars := find(t)
	s := &Server{t: t, opts: opts, java: java, jars: jars, dir: t.TempDir(), control: server.FreePort(t)}
	if s.opts.Port == 0 {
		s.opts.Port = server.FreePort(t)
	}
	if s.opts.Mechanism != "" {
		users := map[string]string{admin: secret}
		for name, password := range opts.Users {
			users[name] = password
		}
		s.opts.Users = users
	}
	s.format()
	s.up()
	return s
}

// find returns the Java runtime and the class path.
func find(t server.T) (java, jars string) {
	t.Helper()
	java, err := exec.LookPath("java")
	if err != nil {
		server.Missing(t, suite, "there is no java")
	}
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "..", "..", "..", ".bin", "kafka")
	if _, err := os.Stat(filepath.Join(dir, "pom.xml")); err != nil {
		server.Missing(t, suite, "there are no jars in .bin/kafka; run scripts/setup-kafka.sh")
	}
	return java, filepath.Join(dir, "*")
}

// command runs a class of Kafka. The JVM is told to start fast rather than to
// run long.
func (s *Server) command(class string, args ...string) *exec.Cmd {
	base := []string{
		"-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dkafka.logs.dir=" + s.dir, "-cp", s.jars, class,
	}
	cmd := exec.Command(s.java, append(base, args...)...) //nolint:gosec // found on PATH; Process ends it
	cmd.Dir = s.dir
	return cmd
}

// format writes the configuration and prepares the data directory.
func (s *Server) format() {
	s.t.Helper()
	if err := os.WriteFile(s.config(), []byte(s.properties()), 0o600); err != nil {
		s.t.Fatalf("write the configuration of Kafka: %v", err)
	}
	args := []string{"format", "-t", kafkaID(), "-c", s.config()}
	if strings.HasPrefix(s.opts.Mechanism, "SCRAM") {
		for name, password := range s.opts.Users {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", s.opts.Mechanism, name, password))
		}
	}
	if out, err := s.command("kafka.tools.StorageTool", args...).CombinedOutput(); err != nil {
		s.t.Fatalf("format the storage of Kafka: %v\n%s", err, out)
	}
}

func (s *Server) config() string { return filepath.Join(s.dir, "server.properties") }

// up starts the process and waits until clients are served.
func (s *Server) up() {
	s.t.Helper()
	s.Process = server.Start(s.t, "kafka", s.command("kafka.Kafka", s.config()))
	s.Await(starting, s.answers)
}

// answers asks for the brokers, as any client does first.
func (s *Server) answers(ctx context.Context) error {
	d := kafkago.Dialer{Timeout: time.Second, SASLMechanism: s.mechanism()}
	if s.opts.TLS != nil {
		d.TLS = s.opts.TLS.Client
	}
	c, err := d.DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	brokers, err := c.Brokers()
	if err == nil && len(brokers) == 0 {
		err = errors.New("there is no broker yet")
	}
	return err
}

// mechanism authenticates as admin.
func (s *Server) mechanism() sasl.Mechanism {
	switch s.opts.Mechanism {
	case Plain:
		return plain.Mechanism{Username: admin, Password: secret}
	case ScramSHA256, ScramSHA512:
		algorithm := scram.SHA256
		if s.opts.Mechanism == ScramSHA512 {
			algorithm = scram.SHA512
		}
		m, err := scram.Mechanism(algorithm, admin, secret)
		if err != nil {
			s.t.Fatalf("prepare SCRAM: %v", err)
		}
		return m
	}
	return nil
}

// Addr is the server's own host and port.
func (s *Server) Addr() string { return net.JoinHostPort(host, strconv.Itoa(s.opts.Port)) }

// URL implements server.Broker. With SASL it is the admin's.
func (s *Server) URL() string { return s.URLAs(admin, secret) }

// URLAs is the URL for a user. With TLS, ca names the file of the certificate.
func (s *Server) URLAs(user, password string) string {
	addr := s.opts.Advertise
	if addr == "" {
		addr = s.Addr()
	}
	u := url.URL{Scheme: "kafka", Host: addr}
	query := url.Values{"session-timeout": {"1s"}, "partitions": {"4"}}
	if s.opts.TLS != nil {
		u.Scheme = "kafka+tls"
		query.Set("ca", s.opts.TLS.CertFile)
	}
	if s.opts.Mechanism != "" {
		u.User = url.UserPassword(user, password)
		query.Set("sasl", strings.ToLower(s.opts.Mechanism))
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// Client talks to the server as admin, for what tests arrange.
func (s *Server) Client() *kafkago.Client {
	t := &kafkago.Transport{SASL: s.mechanism()}
	if s.opts.TLS != nil {
		t.TLS = s.opts.TLS.Client
	}
	s.t.Cleanup(t.CloseIdleConnections)
	return &kafkago.Client{Addr: kafkago.TCP(s.Addr()), Transport: t, Timeout: 10 * time.Second}
}

// TLSConfig is what a client needs, nil without TLS.
func (s *Server) TLSConfig() *tls.Config {
	if s.opts.TLS == nil {
		return nil
	}
	return s.opts.TLS.Client
}

// Restart implements server.Broker.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.up()
}

// properties is the content of server.properties.
func (s *Server) properties() string {
	client := "PLAINTEXT"
	switch {
	case s.opts.Mechanism != "" && s.opts.TLS != nil:
		client = "SASL_SSL"
	case s.opts.Mechanism != "":
		client = "SASL_PLAINTEXT"
	case s.opts.TLS != nil:
		client = "SSL"
	}
	advertise := s.opts.Advertise
	if advertise == "" {
		advertise = s.Addr()
	}
	p := map[string]string{
		"process.roles": "broker,controller", "node.id": "1",
		"controller.quorum.voters":       fmt.Sprintf("1@%s:%d", host, s.control),
		"controller.listener.names":      "CONTROLLER",
		"listeners":                      fmt.Sprintf("CLIENT://%s,CONTROLLER://%s:%d", s.Addr(), host, s.control),
		"advertised.listeners":           "CLIENT://" + advertise,
		"listener.security.protocol.map": "CLIENT:" + client + ",CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name":     "CLIENT",
		"log.dirs":                       filepath.Join(s.dir, "data"),

		"auto.create.topics.enable": "false", "num.partitions": "1",
		"offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "4",
		"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
		"share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",

		// Tests wait for these; the defaults are for the long run.
		"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "500",
		"log.retention.check.interval.ms": "300", "log.initial.task.delay.ms": "300",
		"num.network.threads": "2", "num.io.threads": "4", "background.threads": "2",
		"log.cleaner.enable": "false",
		// A broker killed is registered until its session ends, and only then may
		// come back.
		"broker.session.timeout.ms": "1000", "broker.heartbeat.interval.ms": "250",
	}
	s.secure(p)
	for k, v := range s.opts.Config {
		p[k] = v
	}
	var b strings.Builder
	for _, k := range sorted(p) {
		fmt.Fprintf(&b, "%s=%s\n", k, v(p[k]))
	}
	return b.String()
}

// v escapes what a properties file would take for an escape.
func v(value string) string { return strings.ReplaceAll(value, `\`, `\\`) }

func sorted(p map[string]string) []string {
	keys := make([]string, 0, len(p))
	for k := range p {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
