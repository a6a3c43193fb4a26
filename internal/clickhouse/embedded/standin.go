package embedded

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// standInAfter is how long a pause between two children must be for the parent
// to answer itself. In shorter ones a call waits in the socket's queue and
// never learns of it.
const standInAfter = time.Second

// codeUnavailable is ClickHouse's NETWORK_ERROR, which clients retry.
const codeUnavailable = 210

// standIn refuses every request, with 503, while there is no child: callers
// shall not hang for as long as the engine cannot be started. It returns the
// function that ends it.
func (e *Engine) standIn(reason error) (end func()) {
	refusal := refuse(codeUnavailable, "NETWORK_ERROR", "the embedded engine is down: %v", reason)
	web := &http.Server{
		ReadHeaderTimeout: time.Second,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(refusal.code))
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, refusal.text+"\n")
		}),
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := web.Serve(borrowed{e.listener}); !errors.Is(err, http.ErrServerClosed) {
			e.cfg.Log.Warn("engine's stand-in", "err", err)
		}
	})
	return func() {
		_ = web.Close()
		wait.Wait()
		_ = e.listener.SetDeadline(time.Time{})
	}
}

// borrowed is a listener that is not closed by who is done with it, only woken.
type borrowed struct{ *net.TCPListener }

// Close makes Accept return.
func (b borrowed) Close() error { return b.SetDeadline(time.Now()) }
