package rest

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/requestid"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/services/gateway/internal/browser"
)

// guard is what every request passes first: web pages that speak in somebody
// else's name are turned away, and the connection's deadlines begin to move.
// The rest of the way in is an entrance.
func guard(cfg Config, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestid.Of(r.Header.Get(requestid.Header))
		w.Header().Set(requestid.Header, id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		pace := &pace{ctl: http.NewResponseController(w), stall: cfg.Stall, began: time.Now()}
		b := &body{ReadCloser: r.Body, pace: pace}
		r = r.WithContext(requestid.With(context.WithValue(r.Context(), bodyKey{}, b), id))
		r.Body = b
		pace.write()
		defer pace.write() // what is still buffered goes out after the handler
		w = &writer{ResponseWriter: w, pace: pace}
		if err := cfg.Pages.Check(r); err != nil {
			hangUp(w, r)
			writeError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hangUp lets the connection end with the answer that follows, instead of
// waiting for the body of a request that is refused without it.
func hangUp(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	w.Header().Set("Connection", "close")
	if b := bodyOf(r.Context()); b != nil {
		b.pace.give(lastWords)
	}
}

// lastWords is how long a refused caller may go on sending before the
// connection is cut, so that an honest one gets to read the answer.
const lastWords = time.Second

// minRate is what a caller has to send in bytes per second, besides not
// stalling: so a body has an end, however patient its sender.
const minRate = 4 << 10

// pace moves the connection's deadlines on with every byte, so that a caller
// may be slow for as long as it moves, and not too slowly.
type pace struct {
	ctl   *http.ResponseController
	stall time.Duration
	began time.Time
	got   int64 // bytes of the body
}

// read bounds the next read.
func (p *pace) read() {
	deadline := p.began.Add(p.stall + time.Duration(p.got)*time.Second/minRate)
	if next := time.Now().Add(p.stall); next.Before(deadline) {
		deadline = next
	}
	_ = p.ctl.SetReadDeadline(deadline)
}

// They ignore errors: a connection that knows no deadlines is one of a test.
func (p *pace) give(d time.Duration) { _ = p.ctl.SetReadDeadline(time.Now().Add(d)) }
func (p *pace) rest()                { _ = p.ctl.SetReadDeadline(time.Time{}) }
func (p *pace) write()               { _ = p.ctl.SetWriteDeadline(time.Now().Add(p.stall)) }

type bodyKey struct{}

// body is a request's body, bounded in size and pace.
type body struct {
	io.ReadCloser
	limit    int64
	size     int64 // that was read of it
	exceeded bool  // read by the handler of the same request only
	pace     *pace
	broke    *status.Status // of the stream that answers, if it did
}

func bodyOf(ctx context.Context) *body {
	b, _ := ctx.Value(bodyKey{}).(*body)
	return b
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.pace.read()
	n, err := b.ReadCloser.Read(p)
	b.pace.got += int64(n)
	b.size += int64(n)
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

// jsonOnly refuses bodies that are not what the routes read: JSON, or the protobuf
// of the same.
func jsonOnly(next Failer) Failer {
	return failer{next, func(w http.ResponseWriter, r *http.Request) {
		if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
			hangUp(w, r)
			writeUnsupported(w, "content encoding %q is not supported here", e)
			return
		}
		// A body without a type is one that a web page can send anywhere unasked.
		if r.ContentLength != 0 {
			t := r.Header.Get("Content-Type")
			media, _, err := mime.ParseMediaType(t)
			if err != nil || media != "application/json" && media != ndjson && media != typeProto {
				hangUp(w, r)
				writeUnsupported(w, "content type %q is not supported here: send application/json", t)
				return
			}
		}
		next.ServeHTTP(w, r)
	}}
}

func writeUnsupported(w http.ResponseWriter, format, got string) {
	if len(got) > 64 {
		got = got[:64]
	}
	f := fault.Invalid.New(format, got).WithReason("UNSUPPORTED_MEDIA_TYPE")
	writeStatus(w, rpc.Status(f), http.StatusUnsupportedMediaType)
}

// allowed puts the caller's identity into the context, or refuses one who is not
// known, or may not do what asks for a permission, before a byte of the body is
// read. What anybody may do asks for no credentials.
func allowed(authenticate Authenticate, p policy.Permission, next Failer) Failer {
	if p == policy.PublicCall {
		return next
	}
	return failer{next, func(w http.ResponseWriter, r *http.Request) {
		browser.UseSession(w, r)
		id, err := caller(r, authenticate)
		if err == nil {
			r = r.WithContext(identity.With(r.Context(), id))
			err = id.Authorize(p)
		}
		if err != nil {
			if fault.KindOf(err) == fault.Unauthenticated {
				w.Header().Set("WWW-Authenticate", `Bearer realm="driftmesh"`)
			}
			hangUp(w, r)
			next.Fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	}}
}

// failer is a handler in front of a Failer, whose errors look like that one's.
type failer struct {
	Failer
	handle http.HandlerFunc
}

// ServeHTTP implements http.Handler.
func (f failer) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.handle(w, r) }

func caller(r *http.Request, authenticate Authenticate) (identity.Identity, error) {
	const authorization, apiKey = "Authorization", "X-Api-Key"
	if len(r.Header[authorization]) > 1 || len(r.Header[apiKey]) > 1 {
		return identity.Identity{}, fault.Unauthenticated.New("credentials were sent more than once").
			WithReason(identity.ReasonAmbiguous)
	}
	return authenticate(r.Context(), r.Header.Get(authorization), r.Header.Get(apiKey))
}
