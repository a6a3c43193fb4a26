// Package mesh runs the real programs for tests: the all-in-one, or the five
// services as processes of their own beside a NATS server and a ClickHouse
// engine. Everything is on loopback, on ports of its own, in a directory of its
// own, and ends with the test. Processes are killed with -9 on purpose.
package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

// startTimeout bounds how long a program may take until it is ready, the first
// fetch of the engine library not counted.
const startTimeout = 90 * time.Second

// T is the part of testing.TB that a mesh needs. The benchmark has one of its
// own.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	FailNow()
	Failed() bool
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
	Cleanup(func())
	TempDir() string
}

// Addresses are where a mesh listens.
type Addresses struct {
	HTTP, GRPC, OTLPGRPC, OTLPHTTP, Admin string
	Auth, Drift, TraceStore, IngestWorker string
}

// Mesh is a mesh under test.
type Mesh struct {
	Addresses
	Dir string

	t    T
	args []string
	main *Process
}

// Start runs "driftmesh up" with these extra flags and waits until it is ready.
func Start(t T, args ...string) *Mesh {
	t.Helper()
	RequireEngine(t)
	m := &Mesh{t: t, Dir: t.TempDir(), Addresses: freeAddresses(t), args: args}
	m.Boot()
	t.Cleanup(func() { m.main.Stop() })
	return m
}

// Boot starts the program, again after Kill, on the same data and ports.
func (m *Mesh) Boot() {
	m.t.Helper()
	args := append([]string{"up", "--data-dir", filepath.Join(m.Dir, "data")}, m.Addresses.flags()...)
	m.main = Run(m.t, "up", Binary(m.t, "./cmd/driftmesh"), append(args, m.args...)...)
	m.main.WaitReady(m.Admin)
}

// Kill ends the program, broker and engine and all, with SIGKILL.
func (m *Mesh) Kill() { m.main.Kill() }

// Stop ends the program with SIGTERM and requires that it stops cleanly.
func (m *Mesh) Stop() {
	m.t.Helper()
	require.NoError(m.t, m.main.Stop())
}

// Log is what the program has written so far.
func (m *Mesh) Log() string { return m.main.Log() }

// PID is the program's process id.
func (m *Mesh) PID() int { return m.main.PID() }

func (a Addresses) flags() []string {
	return []string{
		"--gateway.http", a.HTTP, "--gateway.grpc", a.GRPC, "--gateway.otlp-grpc", a.OTLPGRPC, "--gateway.otlp-http", a.OTLPHTTP,
		"--admin.listen", a.Admin,
		"--auth.listen", a.Auth, "--drift.listen", a.Drift, "--trace-store.listen", a.TraceStore, "--ingest-worker.listen", a.IngestWorker,
		"--mesh.auth", a.Auth, "--mesh.drift", a.Drift, "--mesh.trace-store", a.TraceStore, "--mesh.ingest-worker", a.IngestWorker,
	}
}

// Conn is a client connection to the public gRPC address, as nobody.
func (a Addresses) Conn(t T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(a.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Get fetches a path of the HTTP address into answer and returns the status.
func (a Addresses) Get(t T, path string, answer any) int {
	t.Helper()
	resp, err := http.Get("http://" + a.HTTP + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if answer != nil && resp.StatusCode == http.StatusOK {
		require.NoError(t, json.Unmarshal(body, answer), string(body))
	}
	return resp.StatusCode
}

// account asks for the ledger of the caller's tenant for one signal.
func (a Addresses) account(t T, signal string) (*ledgerv1.Account, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := grpc.NewClient(a.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ledger, err := ledgerv1.NewLedgerServiceClient(conn).GetLedger(ctx, &ledgerv1.GetLedgerRequest{})
	if err != nil {
		return nil, err
	}
	for _, account := range ledger.GetAccounts() {
		if account.GetSignal() == signal {
			return account, nil
		}
	}
	return nil, errors.New("the ledger has no account of " + signal)
}

// Settled waits until nothing of the signal is in flight and returns its
// account, which must balance. While a part of the mesh is away the ledger
// cannot be read, and says so; that is waited out.
func (a Addresses) Settled(t T, signal string) *ledgerv1.Account {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		account, err := a.account(t, signal)
		if err == nil && account.GetInFlight() == 0 && account.GetPendingMessages() == 0 {
			require.True(t, account.GetBalanced(), "%v", account)
			return account
		}
		if err != nil {
			require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		}
		require.True(t, time.Now().Before(deadline), "%s never settled: %v %v", signal, account, err)
	}
}

// freeAddresses finds ports that are free now.
func freeAddresses(t T) Addresses {
	t.Helper()
	var a Addresses
	for _, p := range []*string{
		&a.HTTP, &a.GRPC, &a.OTLPGRPC, &a.OTLPHTTP, &a.Admin, &a.Auth, &a.Drift, &a.TraceStore, &a.IngestWorker,
	} {
		*p = FreeAddress(t)
	}
	return a
}

var ports struct {
	sync.Mutex
	given map[string]bool
}

// FreeAddress is a loopback address whose port is free now and was not given
// out before.
func FreeAddress(t T) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		address := lis.Addr().String()
		_ = lis.Close()
		if !ports.given[address] {
			if ports.given == nil {
				ports.given = map[string]bool{}
			}
			ports.given[address] = true
			return address
		}
	}
}

// Process is a program under test.
type Process struct {
	t    T
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error
	log  *buffer
}

// Run starts a program. When the test fails its log is printed.
func Run(t T, name, program string, args ...string) *Process {
	t.Helper()
	return RunEnv(t, nil, name, program, args...)
}

// RunEnv is Run with more environment.
func RunEnv(t T, env []string, name, program string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, name: name, cmd: exec.Command(program, args...), done: make(chan struct{}), log: &buffer{}}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, tail(p.Log(), 8000))
		}
	})
	return p
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is what it has written so far.
func (p *Process) Log() string { return p.log.String() }

// Kill sends SIGKILL to the process, not to its children, and waits.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop sends SIGTERM and waits; it is an error to exit otherwise than with 0.
func (p *Process) Stop() error {
	select {
	case <-p.done:
		return p.err
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // the goroutines' stacks go to the log
		<-p.done
		return errors.New(p.name + " did not stop in time")
	}
}

// WaitReady waits until the admin address reports ready.
func (p *Process) WaitReady(admin string) {
	p.t.Helper()
	deadline := time.Now().Add(startTimeout)
	last := "nothing yet"
	for time.Now().Before(deadline) {
		select {
		case <-p.done:
			require.FailNow(p.t, p.name+" ended before it was ready", "%v\n%s", p.err, tail(p.Log(), 8000))
		case <-time.After(30 * time.Millisecond):
		}
		resp, err := http.Get("http://" + admin + "/readyz?verbose")
		if err != nil {
			last = err.Error()
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
		last = string(body)
	}
	require.FailNow(p.t, p.name+" was not ready in time", "%s\n%s", last, tail(p.Log(), 8000))
}

// buffer collects a log; it is safe for concurrent use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

var built struct {
	sync.Mutex
	dir   string
	paths map[string]string
}

// Binary builds a program of this module once per test run, with the race
// detector when the test itself has it.
func Binary(t T, pkg string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if path, ok := built.paths[pkg]; ok {
		return path
	}
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "driftmesh-test-")
		require.NoError(t, err)
		built.dir, built.paths = dir, map[string]string{}
	}
	path := filepath.Join(built.dir, strings.ReplaceAll(strings.TrimPrefix(pkg, "./"), "/", "-"))
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = Root(t)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	built.paths[pkg] = path
	return path
}

// Clean removes the built programs; call it at the end of TestMain.
func Clean() {
	built.Lock()
	defer built.Unlock()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
}

// Root is the directory of the repository.
func Root(t T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		require.NotEqual(t, dir, parent, "no go.work above the test")
		dir = parent
	}
}

// Missing skips the test because something it needs is not on this machine, or
// fails it when DRIFTMESH_TEST_REQUIRE names the suite.
func Missing(t T, suite, why string) {
	t.Helper()
	for required := range strings.SplitSeq(os.Getenv("DRIFTMESH_TEST_REQUIRE"), ",") {
		if strings.TrimSpace(required) == suite {
			t.Fatalf("suite %s is required and cannot run: %s", suite, why)
		}
	}
	t.Skipf("suite %s skipped: %s", suite, why)
}

// String names the public addresses, for messages.
func (a Addresses) String() string { return fmt.Sprintf("mesh on http %s, grpc %s", a.HTTP, a.GRPC) }
