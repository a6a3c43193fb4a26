package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Engine is a running engine: a child process and whoever restarts it. All
// methods are safe for concurrent use.
type Engine struct {
	cfg      Config
	orders   orders
	listener *net.TCPListener // never accepted from here: the child does
	socket   *os.File
	cancel   context.CancelFunc
	done     chan struct{} // closed when the supervisor has ended

	mu       sync.Mutex
	child    *os.Process   // nil while none runs
	version  string        // of the engine, once it has run
	ready    chan struct{} // closed while the child answers; replaced when that child has ended
	isReady  bool
	restarts int
	failure  error // why the last child ended
}

// Start starts the engine and its supervisor and returns at once; Ready waits
// until it answers. The supervisor restarts a child that dies, after a pause
// that grows while children die young, until ctx ends or Stop is called.
func Start(ctx context.Context, cfg Config) (*Engine, error) {
	switch {
	case IsChild():
		return nil, fault.Internal.New("engine: this process was started to be an engine, but does not know it")
	case cfg.Library == "":
		return nil, fault.Invalid.New("engine: no library path")
	case cfg.Path == "":
		return nil, fault.Invalid.New("engine: no data directory")
	case cfg.Log == nil:
		return nil, fault.Invalid.New("engine: no logger")
	}
	if cfg.Command == nil {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find own executable: %w", err)
		}
		cfg.Command = func() *exec.Cmd { return exec.Command(self, "engine") } //nolint:noctx // endChild ends it, gently first
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the engine: %w", err)
	}
	listener := l.(*net.TCPListener)
	socket, err := listener.File()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("share the engine's socket: %w", err), listener.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &Engine{
		cfg:      cfg,
		orders:   orders{Library: cfg.Library, Path: cfg.Path, Secret: rand.Text(), Limits: cfg.Limits},
		listener: listener,
		socket:   socket,
		cancel:   cancel,
		done:     make(chan struct{}),
		ready:    make(chan struct{}),
	}
	go e.supervise(ctx)
	return e, nil
}

// URL is where the engine answers, credentials included. It is the same for
// the life of the Engine; append a database name to choose one.
func (e *Engine) URL() string {
	u := url.URL{Scheme: "http", User: url.UserPassword(userName, e.orders.Secret), Host: e.listener.Addr().String(), Path: "/"}
	return u.String()
}

// PID is the child's process id, 0 while there is none.
func (e *Engine) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child == nil {
		return 0
	}
	return e.child.Pid
}

// Restarts is how many children have died since Start.
func (e *Engine) Restarts() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.restarts
}

// Version is the engine's version, "" before it was first ready.
func (e *Engine) Version() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.version
}

// Ready waits until the engine answers. It returns nil as soon as it does and
// fault.Unavailable, with the reason the last child gave, if ctx ends first or
// the engine has been stopped.
func (e *Engine) Ready(ctx context.Context) error {
	for {
		e.mu.Lock()
		ready, isReady, failure := e.ready, e.isReady, e.failure
		e.mu.Unlock()
		if isReady {
			return nil
		}
		select {
		case <-ready:
		case <-e.done:
			return fault.Unavailable.Wrap(failure, "the engine is stopped")
		case <-ctx.Done():
			return fault.Unavailable.Wrap(errors.Join(failure, ctx.Err()), "the engine is not ready")
		}
	}
}

// Check reports whether the engine answers right now: nil or fault.Unavailable.
func (e *Engine) Check(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isReady {
		return nil
	}
	return fault.Unavailable.Wrap(e.failure, "the engine is not ready")
}

// Stop ends the child (running statements get a few seconds) and the
// supervisor, and waits for both, until ctx ends at most; then the child is
// killed. It is safe to call twice.
func (e *Engine) Stop(ctx context.Context) error {
	e.cancel()
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
		e.kill()
		<-e.done
		return fmt.Errorf("stop the engine: %w", ctx.Err())
	}
}

// kill ends the child, if there is one. Between two there is nothing to do: Stop
// has cancelled the supervisor, which starts no other.
func (e *Engine) kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child != nil {
		_ = e.child.Kill() // the handle, not the number: another process may have that by now
	}
}

// supervise runs one child after the other until ctx ends.
func (e *Engine) supervise(ctx context.Context) {
	// The kernel kills the child with the thread that started it (Pdeathsig),
	// so that thread must live as long as this goroutine.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(e.done)
	defer func() { _ = errors.Join(e.socket.Close(), e.listener.Close()) }()
	for pause := minBackoff; ctx.Err() == nil; pause = min(2*pause, maxBackoff) {
		began := time.Now()
		err := e.runChild(ctx)
		if ctx.Err() != nil {
			break
		}
		e.mu.Lock()
		e.restarts++
		e.failure = err
		e.mu.Unlock()
		if time.Since(began) > healthyAfter {
			pause = minBackoff
		}
		e.cfg.Log.Error("engine died; it will be restarted", "err", err, "after", pause)
		e.rest(ctx, pause, err)
	}
	e.cfg.Log.Info("engine stopped")
}

// rest waits out the pause after a child's death, or until ctx ends.
func (e *Engine) rest(ctx context.Context, pause time.Duration, reason error) {
	if pause > standInAfter {
		defer e.standIn(reason)()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
