// Package natsserver runs real NATS servers with JetStream for tests: inside
// the test process, which is fast, or in a child process, which can be killed.
//
// A test binary that starts children calls Child first thing in its TestMain:
//
//	func TestMain(m *testing.M) {
//		natsserver.Child()
//		os.Exit(m.Run())
//	}
package natsserver

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Options of a server. The zero value is a server on loopback without
// authentication, with file storage in a directory of the test.
type Options struct {
	// Dir holds the streams; default a new directory of the test.
	Dir string
	// Port is where to listen; 0 is a free one.
	Port int
	// MaxPayload bounds a message with its headers; 0 is 1 MiB.
	MaxPayload int32
	// User and Password are required of clients when given.
	User, Password string
	// DenyPublish are subjects that User may not publish to.
	DenyPublish []string
	// SyncAlways writes to the disk before every acknowledgement.
	SyncAlways bool
	// TLS makes the server require TLS. In-process only.
	TLS *tls.Config `json:"-"`
}

const (
	childEnv = "DRIFTMESH_TEST_NATS_CHILD"
	ready    = 20 * time.Second
)

// Server is a running server.
type Server struct {
	opts  Options
	inner *server.Server // in-process
	child *exec.Cmd      // or a child
}

// Start runs a server inside the test process until the test ends.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s := &Server{opts: withDir(tb, opts)}
	s.up(tb)
	tb.Cleanup(func() { s.Stop(tb) })
	return s
}

// StartChild runs a server in a child process until the test ends. The child
// dies with the test process.
func StartChild(tb testing.TB, opts Options) *Server {
	tb.Helper()
	opts = withDir(tb, opts)
	if opts.Port == 0 {
		opts.Port = freePort(tb)
	}
	s := &Server{opts: opts, child: &exec.Cmd{}}
	s.up(tb)
	tb.Cleanup(func() { s.Kill(tb) })
	return s
}

func withDir(tb testing.TB, opts Options) Options {
	if opts.Dir == "" {
		opts.Dir = tb.TempDir()
	}
	return opts
}

// Addr is the server's host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.opts.Port)) }

// URL is the server's URL, with the credentials a client needs.
func (s *Server) URL() string {
	if s.opts.User != "" {
		return fmt.Sprintf("nats://%s:%s@%s", s.opts.User, s.opts.Password, s.Addr())
	}
	return "nats://" + s.Addr()
}

// Stop ends the server in order.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	if s.inner != nil {
		s.inner.Shutdown()
		s.inner.WaitForShutdown()
		s.inner = nil
	}
	s.signal(tb, syscall.SIGTERM)
}

// Kill ends a child with SIGKILL; a server in the test process is stopped.
func (s *Server) Kill(tb testing.TB) {
	tb.Helper()
	if s.inner != nil {
		s.Stop(tb)
	}
	s.signal(tb, syscall.SIGKILL)
}

// Restart starts the server again, on the same port and directory.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.Kill(tb)
	s.up(tb)
}

// Freeze stops a child's execution (SIGSTOP), as a network would that swallows
// everything; Thaw lets it continue.
func (s *Server) Freeze(tb testing.TB) {
	tb.Helper()
	s.send(tb, syscall.SIGSTOP)
}

// Thaw ends Freeze.
func (s *Server) Thaw(tb testing.TB) {
	tb.Helper()
	s.send(tb, syscall.SIGCONT)
}

func (s *Server) send(tb testing.TB, sig syscall.Signal) {
	tb.Helper()
	if s.child == nil || s.child.Process == nil {
		tb.Fatal("signal: no child is running")
	}
	if err := s.child.Process.Signal(sig); err != nil {
		tb.Fatalf("signal the NATS child: %v", err)
	}
}

func (s *Server) signal(tb testing.TB, sig syscall.Signal) {
	tb.Helper()
	if s.child == nil || s.child.Process == nil {
		return
	}
	s.send(tb, sig)
	_ = s.child.Wait() // its error says it was killed, which is what we did
	s.child = &exec.Cmd{}
}

func (s *Server) up(tb testing.TB) {
	tb.Helper()
	if s.child != nil {
		s.upChild(tb)
		return
	}
	inner, err := run(s.opts)
	if err != nil {
		tb.Fatalf("start NATS: %v", err)
	}
	s.inner = inner
	s.opts.Port = inner.Addr().(*net.TCPAddr).Port
}

// upChild starts the test binary again as a server and waits until it is ready.
func (s *Server) upChild(tb testing.TB) {
	tb.Helper()
	conf, err := json.Marshal(s.opts)
	if err != nil {
		tb.Fatalf("start NATS child: %v", err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(conf))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatalf("start NATS child: %v", err)
	}
	dieWithParent(cmd)
	// The kernel sends the death signal when the thread that starts the child
	// ends; Go keeps its threads, but one that another goroutine locked and left
	// would be gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start NATS child: %v", err)
	}
	s.child = cmd
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		said <- line
	}()
	select {
	case line := <-said:
		if strings.TrimSpace(line) != "ready" {
			tb.Fatalf("NATS child did not start: %q", line)
		}
	case <-time.After(ready):
		tb.Fatal("NATS child did not start in time")
	}
}

// Child runs the server and does not return, when the process was started as a
// child; else it returns at once.
func Child() {
	conf := os.Getenv(childEnv)
	if conf == "" {
		return
	}
	var opts Options
	err := json.Unmarshal([]byte(conf), &opts)
	var s *server.Server
	if err == nil {
		s, err = run(opts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("ready")
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	os.Exit(0)
}

func run(opts Options) (*server.Server, error) {
	o := &server.Options{
		Host: "127.0.0.1", Port: opts.Port, ServerName: "test", JetStream: true, StoreDir: opts.Dir,
		JetStreamMaxStore: 1 << 40, // streams reserve their MaxBytes
		NoSigs:            true, NoLog: true, MaxPayload: opts.MaxPayload, SyncAlways: opts.SyncAlways,
		Username: opts.User, Password: opts.Password,
		TLSConfig: opts.TLS, TLS: opts.TLS != nil, TLSTimeout: 2,
	}
	if opts.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if len(opts.DenyPublish) > 0 {
		o.Username, o.Password = "", ""
		o.Users = []*server.User{{
			Username: opts.User, Password: opts.Password,
			Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: opts.DenyPublish}},
		}}
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(ready) {
		s.Shutdown()
		return nil, fmt.Errorf("NATS server is not ready")
	}
	return s, nil
}

// freePort finds a port that nobody listens on.
func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Pid is the process id of a child, for benchmarks that count its CPU time; 0
// for a server inside the test process.
func (s *Server) Pid() int {
	if s.child == nil || s.child.Process == nil {
		return 0
	}
	return s.child.Process.Pid
}

// Port is where the server listens.
func (s *Server) Port() int { return s.opts.Port }

// Connections is how many connections a server in the test process has
// accepted so far.
func (s *Server) Connections() uint64 {
	if s.inner == nil {
		return 0
	}
	v, err := s.inner.Varz(nil)
	if err != nil {
		return 0
	}
	return v.TotalConnections
}
