package process

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/pprof"
)

// serveProfiles answers with profiles of this process until ctx ends, to
// callers on this machine: they show what is in memory.
func serveProfiles(ctx context.Context, address string, log *slog.Logger) error {
	if address == "" {
		<-ctx.Done()
		return nil
	}
	lis, err := listen(ctx, "admin.pprof", address)
	if err != nil {
		return err
	}
	if !onLoopback(lis.Addr()) { // a name that is not what it looks like
		_ = lis.Close()
		return errors.New("admin.pprof: must be an address of loopback")
	}
	return serveHTTP(ctx, lis, nil, profiles(), log)
}

func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !Loopback(req.Host) { // a web page whose name resolves to this machine
			http.Error(w, "profiles are for callers who name this machine by its loopback address", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, req)
	})
}
