package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded/chdb"
)

const (
	// lockWait is how long a child waits for a predecessor that is still dying
	// to let go of the data directory.
	lockWait = 5 * time.Second
	// drainTime is what running statements get when the child is told to end.
	drainTime = 5 * time.Second
)

// Child is the body of the hidden command that Start runs: it takes its orders
// from stdin, loads the engine, serves HTTP on the socket its parent left as
// file 3, and returns when stdin closes or ctx ends. The process must exit
// after it: the engine's threads never stop by themselves.
func Child(ctx context.Context) error {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	err := child(ctx, os.Stdin, os.Stdout, log)
	if err != nil {
		// The parent may be gone; then nobody needs to know.
		_ = send(os.Stdout, report{Failure: err.Error()})
	}
	return err
}

func child(ctx context.Context, stdin io.Reader, stdout io.Writer, log *slog.Logger) error {
	in := bufio.NewReader(stdin)
	o, err := receiveOrders(in)
	if err != nil {
		return err
	}
	listener, err := inheritedListener()
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // the server has closed it, or never got to
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		// Ends with the process at the latest: nothing interrupts a read of
		// stdin but the parent's end.
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	unlock, err := lock(ctx, o.Path)
	if err != nil {
		return err
	}
	defer unlock()
	return serve(ctx, o, listener, stdout, log)
}

func inheritedListener() (net.Listener, error) {
	file := os.NewFile(listenerFile, "listener")
	if file == nil {
		return nil, errors.New("no listening socket from the parent (this command is started by driftmesh itself)")
	}
	defer file.Close() //nolint:errcheck // the listener has a descriptor of its own
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("take over the listening socket: %w", err)
	}
	return listener, nil
}

// serve boots the engine and answers until ctx ends.
func serve(ctx context.Context, o orders, listener net.Listener, stdout io.Writer, log *slog.Logger) error {
	handler, closeEngine, err := boot(o, log)
	if err != nil {
		return err
	}
	defer closeEngine()
	web := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	var wait sync.WaitGroup
	wait.Go(func() { failed <- web.Serve(listener) })
	defer wait.Wait()
	if err := send(stdout, report{Ready: true, Version: handler.hello.version}); err != nil {
		_ = web.Close()
		return fmt.Errorf("report to the parent: %w", err)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := web.Shutdown(drain); err != nil {
		_ = web.Close()
	}
	return nil
}

// boot loads the library and opens the first session, which starts the engine
// and stays open so that it keeps running.
func boot(o orders, log *slog.Logger) (*server, func(), error) {
	if err := os.MkdirAll(o.Path, 0o750); err != nil {
		return nil, nil, fmt.Errorf("make engine data directory: %w", err)
	}
	library, err := chdb.Load(o.Library)
	if err != nil {
		return nil, nil, err
	}
	limits := o.Limits.withDefaults()
	args, err := engineArgs(o.Path, limits)
	if err != nil {
		return nil, nil, err
	}
	base, err := library.Connect(args...)
	if err != nil {
		return nil, nil, fmt.Errorf("start the engine on %s: %w", o.Path, err)
	}
	hello, err := newHello(base)
	if err != nil {
		base.Close()
		return nil, nil, err
	}
	sessions := &pool{library: library, args: args, keep: limits.Reads + limits.Inserts}
	s := &server{
		pool:    sessions,
		reads:   newLane(limits.Reads, limits.Queue),
		inserts: newLane(limits.Inserts, limits.Queue),
		secret:  o.Secret,
		hello:   hello,
		log:     log,
		run:     strconv.FormatInt(time.Now().UnixNano(), 36),
	}
	s.chunks.New = func() any { b := make([]byte, chunkSize); return &b }
	return s, func() { sessions.close(); base.Close() }, nil
}
