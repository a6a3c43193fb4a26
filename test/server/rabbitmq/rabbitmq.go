// Package rabbitmq runs a real RabbitMQ for tests: one node on loopback, in a
// directory of the test, with a port mapper (epmd) of its own. It needs the
// distribution's package rabbitmq-server, whose own service is not touched.
package rabbitmq

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/test/server"
)

// Options of a server. The zero value is one where guest may do everything.
type Options struct {
	// Users are the accounts by name. With any, guest is not there.
	Users map[string]User
	// TLS makes the server listen for TLS too, with this certificate.
	TLS *server.Certificate
	// Management turns the management API on.
	Management bool
	// Plugins are turned on, beside what Management needs.
	Plugins []string
	// Config adds lines to rabbitmq.conf.
	Config map[string]string
}

// User is an account and what it may do: regular expressions over the names of
// queues and exchanges, "" for none.
type User struct {
	Password               string
	Configure, Write, Read string
	// Tags such as "monitoring", which the management API asks for.
	Tags string
}

const (
	suite    = "rabbitmq"
	host     = "127.0.0.1"
	script   = "/usr/lib/rabbitmq/bin/rabbitmq-server"
	starting = 3 * time.Minute
	stopping = 30 * time.Second
	// ripe is how long after its declaration a quorum queue of RabbitMQ 3.10
	// survives SIGKILL; younger ones may be unusable after it.
	ripe = 3 * time.Second
)

// Server is a running server.
type Server struct {
	t       server.T
	opts    Options
	dir     string
	env     []string
	users   map[string]User
	process *server.Process

	port, tlsPort, management int
}

var _ server.Broker = (*Server)(nil)

// Require skips the test where RabbitMQ is not installed, or fails it, as
// server.Missing says. It returns Erlang's port mapper.
func Require(t server.T) (epmd string) {
	t.Helper()
	epmd, err := exec.LookPath("epmd")
	if err == nil {
		_, err = os.Stat(script)
	}
	if err != nil {
		server.Missing(t, suite, "rabbitmq-server is not installed: "+err.Error())
	}
	return epmd
}

// Start runs a server until the test ends, where Require finds one.
func Start(t server.T, opts Options) *Server {
	t.Helper()
	epmd := Require(t)
	s := &Server{t: t, opts: opts, dir: t.TempDir(), port: server.FreePort(t), users: opts.Users}
	if len(s.users) == 0 {
		s.users = map[string]User{"guest": {Password: "guest", Configure: ".*", Write: ".*", Read: ".*", Tags: "administrator"}}
	}
	if opts.TLS != nil {
		s.tlsPort = server.FreePort(t)
	}
	if opts.Management {
		s.management = server.FreePort(t)
	}
	mapper := strconv.Itoa(server.FreePort(t))
	s.configure(mapper)
	// In the foreground it is our child; one that the node starts would outlive
	// both.
	mapping := exec.Command(epmd, "-address", host, "-port", mapper) // it ends with the test
	mapping.Env = s.env
	server.Start(t, "epmd", mapping)
	s.start()
	return s
}

// configure writes the files of the node and its environment.
func (s *Server) configure(mapper string) {
	s.t.Helper()
	for _, d := range []string{"home", "log", "mnesia", "schema"} {
		if err := os.Mkdir(filepath.Join(s.dir, d), 0o700); err != nil {
			s.t.Fatalf("make a directory: %v", err)
		}
	}
	s.write("rabbitmq.conf", s.settings())
	s.write("advanced.config", "[{rabbit, [{quorum_tick_interval, 500}]}].\n") // how often queues report their length
	s.write("enabled_plugins", "["+strings.Join(s.plugins(), ",")+"].\n")
	s.write("definitions.json", definitions(s.users))
	in := func(name string) string { return filepath.Join(s.dir, name) }
	s.env = []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + in("home"),
		"ERL_EPMD_ADDRESS=" + host, "ERL_EPMD_PORT=" + mapper,
		"RABBITMQ_NODENAME=drift-" + strconv.Itoa(s.port) + "@localhost",
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(server.FreePort(s.t)),
		"RABBITMQ_CONF_ENV_FILE=" + in("none"), "RABBITMQ_CONFIG_FILE=" + in("rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + in("advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + in("enabled_plugins"),
		"RABBITMQ_BASE=" + s.dir, "RABBITMQ_MNESIA_BASE=" + in("mnesia"), "RABBITMQ_LOG_BASE=" + in("log"), "RABBITMQ_LOGS=-",
		"RABBITMQ_SCHEMA_DIR=" + in("schema"), "RABBITMQ_GENERATED_CONFIG_DIR=" + in("schema"),
		"RABBITMQ_PID_FILE=" + in("server.pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
		// The script then becomes the node instead of its parent, so that our
		// signals, and the kernel's when we die, reach it.
		"RABBITMQ_ALLOW_INPUT=true", "RABBITMQ_SERVER_START_ARGS=-noinput -start_epmd false",
	}
}

func (s *Server) settings() string {
	var b strings.Builder
	set := func(key string, value any) { fmt.Fprintf(&b, "%s = %v\n", key, value) }
	set("listeners.tcp.1", host+":"+strconv.Itoa(s.port))
	set("log.console", true)
	set("log.console.level", "warning")
	set("log.file", false)
	set("vm_memory_high_watermark.absolute", "3GB")
	set("disk_free_limit.absolute", "50MB")
	set("load_definitions", filepath.Join(s.dir, "definitions.json"))
	if s.management > 0 {
		set("management.tcp.ip", host)
		set("management.tcp.port", s.management)
		set("collect_statistics_interval", 500)
		for _, kind := range []string{"global", "basic", "detailed"} {
			set("management.sample_retention_policies."+kind+".minute", 1)
		}
	}
	if c := s.opts.TLS; c != nil {
		set("listeners.ssl.1", host+":"+strconv.Itoa(s.tlsPort))
		set("ssl_options.cacertfile", c.CertFile)
		set("ssl_options.certfile", c.CertFile)
		set("ssl_options.keyfile", c.KeyFile)
	}
	for key, value := range s.opts.Config {
		set(key, value)
	}
	return b.String()
}

func (s *Server) plugins() []string {
	plugins := s.opts.Plugins
	if s.opts.Management {
		plugins = append([]string{"rabbitmq_management"}, plugins...)
	}
	return plugins
}

func (s *Server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatalf("write %s: %v", name, err)
	}
}

// start starts the node and waits until it serves.
func (s *Server) start() {
	s.t.Helper()
	cmd := exec.Command(script) // it ends with the test
	cmd.Env, cmd.Dir = s.env, s.dir
	s.process = server.Start(s.t, suite, cmd)
	s.process.Await(starting, func(context.Context) error {
		conn, err := amqp.DialConfig(s.URL(), amqp.Config{Dial: amqp.DefaultDial(2 * time.Second)})
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// URL implements server.Broker. The user is the first by name.
func (s *Server) URL() string {
	first := ""
	for name := range s.users {
		if first == "" || name < first {
			first = name
		}
	}
	return s.URLOf(first, s.users[first].Password)
}

// URLOf is the URL with other credentials, right or wrong.
func (s *Server) URLOf(user, password string) string {
	u := url.URL{Scheme: "amqp", Host: s.Addr(), User: url.UserPassword(user, password)}
	if s.opts.Management {
		u.RawQuery = "management=" + url.QueryEscape(s.ManagementURL())
	}
	return u.String()
}

// Addr is host and port, for a proxy.
func (s *Server) Addr() string { return net.JoinHostPort(host, strconv.Itoa(s.port)) }

// AddrTLS is host and port of the listener for TLS.
func (s *Server) AddrTLS() string { return net.JoinHostPort(host, strconv.Itoa(s.tlsPort)) }

// ManagementURL is the base of the management API, without credentials.
func (s *Server) ManagementURL() string {
	return "http://" + net.JoinHostPort(host, strconv.Itoa(s.management))
}

// Kill implements server.Broker.
func (s *Server) Kill() { s.process.Kill() }

// Stop stops the server as an operator would.
func (s *Server) Stop() { s.process.Stop(stopping) }

// Restart implements server.Broker.
func (s *Server) Restart() {
	s.t.Helper()
	select {
	case <-s.process.Ended():
	default:
		s.Kill()
	}
	s.start()
}

// Reconfigure adds lines to rabbitmq.conf, which the next Restart reads.
func (s *Server) Reconfigure(config map[string]string) {
	s.t.Helper()
	s.opts.Config = config
	s.write("rabbitmq.conf", s.settings())
}

// Freeze implements server.Broker.
func (s *Server) Freeze() { s.process.Freeze() }

// Thaw implements server.Broker.
func (s *Server) Thaw() { s.process.Thaw() }

// PID implements server.Broker.
func (s *Server) PID() int { return s.process.PID() }

// Settle waits until queues that were just declared survive Kill: RabbitMQ 3.10
// may not bring back a quorum queue that is younger than a second.
func (s *Server) Settle() { time.Sleep(ripe) }

// Log is the end of what the server wrote.
func (s *Server) Log() string { return s.process.Log() }
