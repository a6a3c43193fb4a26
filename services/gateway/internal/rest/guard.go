package rest

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/rpc"
)

// guard bounds requests in number, size and time before anybody looks at them.
func guard(cfg Config, next http.Handler) http.Handler {
	places := make(chan struct{}, cfg.MaxRequests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			writeError(w, fault.Unavailable.New("too many requests are under way").
				WithReason("GATEWAY_FULL").WithRetryAfter(time.Second))
			return
		}
		pace := &pace{ctl: http.NewResponseController(w), stall: cfg.Stall}
		if r.ContentLength > cfg.MaxBody {
			pace.read()
			writeError(w, errTooLarge(cfg.MaxBody))
			return
		}
		b := &body{ReadCloser: http.MaxBytesReader(w, r.Body, cfg.MaxBody), limit: cfg.MaxBody, pace: pace, answer: w.Header()}
		r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, b))
		r.Body = b
		pace.write()
		defer pace.write() // what is still buffered goes out after the handler
		next.ServeHTTP(&writer{ResponseWriter: w, pace: pace}, r)
	})
}

// pace moves the connection's deadlines on with every byte, so that a caller
// may be slow for as long as it moves at all.
type pace struct {
	ctl   *http.ResponseController
	stall time.Duration
}

// They ignore errors: a connection that knows no deadlines is one of a test.
func (p *pace) read()  { _ = p.ctl.SetReadDeadline(time.Now().Add(p.stall)) }
func (p *pace) rest()  { _ = p.ctl.SetReadDeadline(time.Time{}) }
func (p *pace) write() { _ = p.ctl.SetWriteDeadline(time.Now().Add(p.stall)) }

type bodyKey struct{}

// body is a request's body, bounded in size and pace.
type body struct {
	io.ReadCloser
	limit    int64
	exceeded bool // read by the handler of the same request only
	pace     *pace
	answer   http.Header // of the response, for what only a context reaches
}

func bodyOf(ctx context.Context) *body {
	b, _ := ctx.Value(bodyKey{}).(*body)
	return b
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.pace.read()
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		// From here on the server itself watches the connection for its end; a
		// deadline left behind would look like one.
		b.pace.rest()
		b.exceeded = b.exceeded || errors.As(err, new(*http.MaxBytesError))
	}
	return n, err
}

// writer is a response, bounded in pace.
type writer struct {
	http.ResponseWriter
	pace *pace
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	w.pace.write()
	return w.ResponseWriter.Write(p)
}

// Flush sends what was written so far.
func (w *writer) Flush() {
	w.pace.write()
	_ = w.pace.ctl.Flush() // the next Write tells
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// jsonOnly refuses bodies that are not what the routes read.
func jsonOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
			writeUnsupported(w, "content encoding %q is not supported here", e)
			return
		}
		if t := r.Header.Get("Content-Type"); t != "" && r.ContentLength != 0 {
			media, _, err := mime.ParseMediaType(t)
			if err != nil || media != "application/json" && media != ndjson {
				writeUnsupported(w, "content type %q is not supported here: send application/json", t)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func writeUnsupported(w http.ResponseWriter, format, got string) {
	if len(got) > 64 {
		got = got[:64]
	}
	f := fault.Invalid.New(format, got).WithReason("UNSUPPORTED_MEDIA_TYPE")
	writeStatus(w, rpc.Status(f), http.StatusUnsupportedMediaType)
}

// authenticated puts the caller's identity into the context, or refuses.
func authenticated(authenticate Authenticate, next Failer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := caller(r, authenticate)
		if err != nil {
			if fault.KindOf(err) == fault.Unauthenticated {
				w.Header().Set("WWW-Authenticate", `Bearer realm="driftmesh"`)
			}
			next.Fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(identity.With(r.Context(), id)))
	})
}

func caller(r *http.Request, authenticate Authenticate) (identity.Identity, error) {
	authorization, apiKey := r.Header.Values("Authorization"), r.Header.Values("X-Api-Key")
	if len(authorization) > 1 || len(apiKey) > 1 {
		return identity.Identity{}, fault.Unauthenticated.New("credentials were sent more than once").
			WithReason(identity.ReasonAmbiguous)
	}
	return authenticate(r.Context(), first(authorization), first(apiKey))
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
