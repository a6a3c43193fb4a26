// Package server runs other people's servers for tests: as processes of their
// own on loopback, in a directory of the test, so that they can be killed,
// frozen and started again. Its folders know one server each.
package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// T is the part of testing.TB that a server needs. Benchmarks outside of go
// test have one of their own.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	FailNow()
	Failed() bool
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
	Cleanup(f func())
	TempDir() string
}

// Broker is a message broker under test. Its methods fail the test that
// started it.
type Broker interface {
	// URL is what the setting broker.url takes, credentials included.
	URL() string
	// Kill ends the server with SIGKILL; what it made durable stays.
	Kill()
	// Restart starts it again, on the same data and port, and waits until it is
	// ready.
	Restart()
	// Freeze stops its execution, as a network does that swallows everything.
	Freeze()
	// Thaw ends Freeze.
	Thaw()
	// PID is the process that does the work.
	PID() int
}

// Process is a server's process, in a group of its own that dies with the test.
type Process struct {
	t    T
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error
	log  *buffer
}

// Start starts cmd, named name in messages. What it writes is printed when the
// test fails.
func Start(t T, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, name: name, cmd: cmd, done: make(chan struct{}), log: &buffer{}}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.WaitDelay = time.Second // a grandchild may keep the pipes open
	group(cmd)
	// The kernel sends the death signal when the thread that starts the child
	// ends; Go keeps its threads, but one that another goroutine locked and left
	// would be gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.Log())
		}
	})
	return p
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is the end of what it has written so far.
func (p *Process) Log() string { return p.log.String() }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Err is how it ended; nil is exit code 0. It waits for the end.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Kill sends SIGKILL to the process and its children, and waits.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop sends SIGTERM, and SIGKILL to what is still there after grace.
func (p *Process) Stop(grace time.Duration) {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		p.t.Errorf("%s did not stop within %v", p.name, grace)
		p.Kill()
	}
}

// Freeze stops the execution of the process and its children.
func (p *Process) Freeze() { p.Signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (p *Process) Thaw() { p.Signal(syscall.SIGCONT) }

// Signal sends a signal to the process and its children.
func (p *Process) Signal(sig syscall.Signal) {
	if err := syscall.Kill(-p.PID(), sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.t.Errorf("signal %s: %v", p.name, err)
	}
}

// Await polls ready until it returns nil, and fails the test when it does not
// within limit or the process ends before.
func (p *Process) Await(limit time.Duration, ready func(ctx context.Context) error) {
	p.t.Helper()
	var err error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		err = ready(ctx)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-p.done:
			p.t.Fatalf("%s ended before it was ready: %v\n%s", p.name, p.err, p.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
	p.t.Fatalf("%s was not ready within %v: %v\n%s", p.name, limit, err, p.Log())
}

// Answers is a check that a URL answers with 200.
func Answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, resp.Status)
		}
		return nil
	}
}

// Listens is for Await: it asks whether something accepts connections there.
func Listens(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
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

// FreeAddress is a loopback address with a FreePort.
func FreeAddress(t T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
}

// Servers get ports below those that outgoing connections take theirs from:
// one of these could have the port by the time a slow server listens on it.
const (
	lowestPort = 15_000
	ports      = 15_000
)

// reserved keeps the ports given out from other test processes: each holds the
// UDP port of that number, which no server here wants, until it ends.
var reserved struct {
	sync.Mutex
	held []net.PacketConn
}

// FreePort is a loopback port that is free now and is given out once on this
// machine while the test process lives.
func FreePort(t T) int {
	t.Helper()
	reserved.Lock()
	defer reserved.Unlock()
	for range ports {
		port := lowestPort + rand.N(ports)
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		hold, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		lis, err := net.Listen("tcp", address)
		if err != nil {
			_ = hold.Close()
			continue
		}
		_ = lis.Close()
		reserved.held = append(reserved.held, hold)
		return port
	}
	t.Fatalf("no loopback port of %d to %d is free", lowestPort, lowestPort+ports-1)
	return 0
}

// logSize is how much of a log is kept.
const logSize = 64 << 10

// buffer keeps the end of a log; it is safe for concurrent use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, _ := b.b.Write(p)
	if extra := b.b.Len() - logSize; extra > logSize {
		b.b.Next(extra)
	}
	return n, nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.b.Bytes()
	return string(s[max(0, len(s)-logSize):])
}
