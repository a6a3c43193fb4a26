package process

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
)

// desk answers operators: metrics and health.
type desk struct {
	cfg       Admin
	log       *slog.Logger
	gatherer  prometheus.Gatherer
	stats     prometheus.Registerer
	readiness *readiness
	opened    func(*tlsfiles.Source) // is told the certificate, if there is one; may be nil
}

// serve answers until ctx ends.
func (d *desk) serve(ctx context.Context) error {
	if d.cfg.Listen == "" {
		<-ctx.Done()
		return nil
	}
	secure, err := OpenTLS("admin", d.cfg.TLS, d.log, d.stats)
	if err != nil {
		return err
	}
	if d.opened != nil {
		d.opened(secure)
	}
	lis, err := listen(ctx, "admin.listen", d.cfg.Listen)
	if err != nil {
		return err
	}
	if d.cfg.Token == "" && !onLoopback(lis.Addr()) {
		d.log.Warn("metrics are for everybody who reaches the address: no admin.token is set", slog.String(telemetry.KeyAddr, lis.Addr().String()))
	}
	return serveHTTP(ctx, lis, secure, d.handler(), d.log)
}

func (d *desk) handler() http.Handler {
	mux := http.NewServeMux()
	alive := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", d.ready)
	mux.Handle("GET /metrics", d.guarded(promhttp.HandlerFor(d.gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true})))
	return mux
}

// ready tells probes, which are anybody, the names of what is missing, and
// operators the reasons too.
func (d *desk) ready(w http.ResponseWriter, req *http.Request) {
	ready, findings := d.readiness.report(req.Context())
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if ready && !req.URL.Query().Has("verbose") {
		fmt.Fprintln(w, "ok")
		return
	}
	tell := finding.bare
	if d.operator(req) {
		tell = finding.String
	}
	for _, f := range findings {
		fmt.Fprintln(w, tell(f))
	}
}

// operator reports whether a request comes with the token; where there is none,
// from this machine, and not through a web page whose name resolves to it.
func (d *desk) operator(req *http.Request) bool {
	if d.cfg.Token != "" {
		return d.authorized(req)
	}
	return Loopback(req.RemoteAddr) && Loopback(req.Host)
}

// authorized compares digests, whose length and first difference tell nothing.
func (d *desk) authorized(req *http.Request) bool {
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	given, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(d.cfg.Token.Reveal()))
	return subtle.ConstantTimeCompare(given[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

// guarded wants to see the token, if there is one.
func (d *desk) guarded(inner http.Handler) http.Handler {
	if d.cfg.Token == "" {
		return inner
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !d.authorized(req) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="driftmesh"`)
			http.Error(w, "the bearer token of admin.token is needed", http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, req)
	})
}

func listen(ctx context.Context, setting, address string) (net.Listener, error) {
	var lc net.ListenConfig
	lis, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen (setting %s): %w", setting, err)
	}
	return lis, nil
}

func onLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// OpenTLS opens the certificate of listeners whose settings begin with prefix,
// and shows it in the metrics; nil when there is none.
func OpenTLS(prefix string, files tlsfiles.Files, log *slog.Logger, stats prometheus.Registerer) (*tlsfiles.Source, error) {
	if !files.On() {
		return nil, nil
	}
	source, err := tlsfiles.Open(files, log)
	if err != nil {
		return nil, fmt.Errorf("settings %s.tls.cert and %s.tls.key: %w", prefix, prefix, err)
	}
	return source, source.Register(stats, prefix)
}

// serveHTTP answers until ctx ends; secure is nil for plain text.
func serveHTTP(ctx context.Context, lis net.Listener, secure *tlsfiles.Source, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ErrorLog: secure.ErrorLog(log, slog.LevelInfo)}
	stopped := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(late) != nil {
			_ = server.Close()
		}
	})
	defer stopped()
	if secure != nil {
		lis = secure.Listener(lis)
	}
	err := server.Serve(lis)
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", lis.Addr(), err)
	}
	return nil
}
