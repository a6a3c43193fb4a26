package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check returns nil when something that a service needs is there.
type Check func(context.Context) error

// checkTimeout bounds all readiness checks together.
const checkTimeout = 3 * time.Second

// readiness is what a process waits for. It is safe for concurrent use.
type readiness struct {
	mu       sync.Mutex
	checks   map[string]Check
	stopping bool
}

func (r *readiness) add(name string, check Check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks[name] = check
}

func (r *readiness) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
}

// report runs all checks side by side.
func (r *readiness) report(ctx context.Context) (ready bool, lines []string) {
	r.mu.Lock()
	checks, stopping := maps.Clone(r.checks), r.stopping
	r.mu.Unlock()
	if stopping {
		return false, []string{"[-] stopping"}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	names := slices.Sorted(maps.Keys(checks))
	lines = make([]string, len(names))
	ready = len(names) > 0 // nobody has said yet what it waits for
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			err := checks[name](ctx)
			mu.Lock()
			defer mu.Unlock()
			lines[i] = "[+] " + name
			if err != nil {
				ready = false
				lines[i] = "[-] " + name + ": " + err.Error()
			}
		})
	}
	wg.Wait()
	return ready, lines
}

// serveAdmin answers operators until ctx ends.
func serveAdmin(ctx context.Context, address string, gatherer prometheus.Gatherer, r *readiness) error {
	var lc net.ListenConfig
	lis, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for admin (setting admin.listen): %w", err)
	}
	server := &http.Server{Handler: adminHandler(gatherer, r), ReadHeaderTimeout: 5 * time.Second}
	stopped := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(late) != nil {
			_ = server.Close()
		}
	})
	defer stopped()
	if err := server.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin: %w", err)
	}
	return nil
}

// probe asks the admin address of another process whether it is ready: a
// container without a shell needs no other program for its health check.
func probe(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout+time.Second)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("admin.listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready:\n%s", answer)
	}
	return nil
}

func adminHandler(gatherer prometheus.Gatherer, r *readiness) http.Handler {
	mux := http.NewServeMux()
	alive := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, req *http.Request) {
		ready, lines := r.report(req.Context())
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if !ready || req.URL.Query().Has("verbose") {
			fmt.Fprintln(w, strings.Join(lines, "\n"))
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
