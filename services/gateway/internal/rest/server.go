package rest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/driftmesh/driftmesh/internal/tlsfiles"
)

// Bounds of a connection.
const (
	headTimeout  = 10 * time.Second // to send a request's head: slow callers are many
	idleTimeout  = 2 * time.Minute  // without a request
	maxHead      = 64 << 10         // bytes of a request's head
	drainTimeout = 10 * time.Second // for answers under way when the gateway stops
)

// Serve answers requests on lis, over TLS when secure is not nil, until ctx ends,
// then lets those under way finish. It returns nil after a clean stop.
func Serve(ctx context.Context, lis net.Listener, secure *tlsfiles.Source, handler http.Handler, logger *slog.Logger) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHead,
		ErrorLog: secure.ErrorLog(logger, slog.LevelDebug),
	}
	if secure != nil {
		lis = secure.Listener(lis)
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(lis) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := server.Shutdown(last)
	if err != nil {
		err = server.Close()
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		return served
	}
	return err
}
