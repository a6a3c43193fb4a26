package otlpdoor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/requestid"
	"github.com/driftmesh/driftmesh/internal/rpc"
)

const (
	typeProto = "application/x-protobuf"
	typeJSON  = "application/json"
)

// httpServer makes the OTLP/HTTP server, HTTP/1.1 and HTTP/2, also without TLS.
func (d *Door) httpServer() *http.Server {
	mux := http.NewServeMux()
	for _, pattern := range []string{"/v1/traces", "POST /{$}", "POST /scouter/v1/traces"} { // OTLP's own, and where exporters of Scouter's send unless told
		mux.HandleFunc(pattern, d.traces)
	}
	for _, u := range d.metrics.unkept {
		mux.HandleFunc("/v1/"+u.name, d.letGo(u))
	}
	mux.HandleFunc("/v1development/profiles", func(w http.ResponseWriter, r *http.Request) {
		d.answerError(w, r, errUnimplemented("opentelemetry.proto.collector.profiles."))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		d.answerError(w, r, fault.NotFound.New("there is nothing at %.200s: traces go to /v1/traces", r.URL.Path))
	})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           named(d.cors(d.ownPages(mux))),
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       d.cfg.ReadTimeout,
		IdleTimeout:       d.cfg.MaxIdle,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          d.deps.TLS.ErrorLog(d.deps.Log, slog.LevelDebug),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: int(d.cfg.MaxStreams)},
	}
}

// Traces is the route /v1/traces, for another server.
func (d *Door) Traces() http.Handler { return http.HandlerFunc(d.traces) }

// named gives every request its name, and tells it.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		id := requestid.Of(req.Header.Get(requestid.Header))
		w.Header().Set(requestid.Header, id)
		next.ServeHTTP(w, req.WithContext(requestid.With(req.Context(), id)))
	})
}

// traces answers POST /v1/traces.
func (d *Door) traces(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		d.answerStatus(w, req, http.StatusMethodNotAllowed, status.New(codes.Unimplemented, "only POST is allowed"))
		return
	}
	r := &request{started: d.now(), lease: d.deps.Budget.Lease()}
	code := codes.OK
	var err error
	defer func() {
		r.lease.Free()
		if panicked := recover(); panicked != nil {
			err = fault.Internal.Wrap(fmt.Errorf("panic: %v\n%s", panicked, debug.Stack()), "internal error")
			code = d.answerError(w, req, err)
		}
		r.end("http", code.String(), err)
		d.metrics.http.done(code, r.started)
	}()
	isJSON, err := format(req)
	if err != nil {
		code = codes.InvalidArgument
		w.Header().Set("Accept-Encoding", "gzip")
		d.answerStatus(w, req, http.StatusUnsupportedMediaType, status.New(code, err.Error()))
		return
	}
	rep, err := d.exportHTTP(req, r, isJSON)
	if err != nil {
		d.refused(r, err)
		code = d.answerError(w, req, err)
		return
	}
	if isJSON {
		answer(w, http.StatusOK, typeJSON, jsonAnswer(&rep))
	} else {
		answer(w, http.StatusOK, typeProto, protoAnswer(&rep))
	}
}

// format checks content type and encoding and tells JSON from protobuf.
func format(req *http.Request) (isJSON bool, err error) {
	switch encoding := req.Header.Get("Content-Encoding"); encoding {
	case "", "identity", "none", "gzip":
	default:
		return false, fmt.Errorf("content encoding %.100q is not supported: want gzip or none", encoding)
	}
	switch mediaType(req) {
	case typeJSON:
		return true, nil
	case typeProto:
		return false, nil
	}
	return false, fmt.Errorf("content type %.100q is not supported: want %s or %s", req.Header.Get("Content-Type"), typeProto, typeJSON)
}

func mediaType(req *http.Request) string {
	media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

func (d *Door) exportHTTP(req *http.Request, r *request, isJSON bool) (otlp.Report, error) {
	ctx := req.Context()
	id, err := d.identifyHTTP(req, d.asks.overHTTP)
	if err != nil {
		return otlp.Report{}, err
	}
	if err := d.enter(r, id); err != nil {
		return otlp.Report{}, err
	}
	ctx = d.begin(ctx, r, "POST /v1/traces", req.Header.Get("Traceparent"), req.Header.Get("Tracestate"))
	in, err := d.readBody(req, r)
	if err != nil {
		return otlp.Report{}, err
	}
	defer d.buffers.Put(in)
	body := *in
	if req.Header.Get("Content-Encoding") == "gzip" && len(body) > 0 {
		out, err := d.gzip.inflate(body, &r.lease)
		if err != nil {
			return otlp.Report{}, err
		}
		defer d.buffers.Put(out)
		body = *out
	}
	if isJSON {
		// Protobuf is smaller than its JSON.
		if !r.lease.Grow(r.lease.Held() + len(body)) {
			return otlp.Report{}, r.lease.Why(errBusy())
		}
		if body, err = otlp.FromJSON(body); err != nil {
			return otlp.Report{}, err
		}
	}
	return d.accept(ctx, r, body)
}

// readBody reads the body into a pooled buffer, which the caller puts back. It
// stops at the limit, and where the lease cannot grow.
func (d *Door) readBody(req *http.Request, r *request) (*[]byte, error) {
	limit := int(d.cfg.MaxRequest)
	if req.ContentLength > int64(limit) {
		return nil, errTooLarge(limit)
	}
	size := 32 << 10
	if req.ContentLength >= 0 {
		limit = int(req.ContentLength)
		// Most come whole. Of a larger one the room is taken as it comes: who sends
		// slowly must not hold what is only announced.
		size = min(limit, streamWindow)
	}
	size++ // so that the end is met without growing
	buf := d.buffers.Get(0)
	for n := 0; ; size = min(2*size, limit+1) {
		if !r.lease.Grow(size) {
			d.buffers.Put(buf)
			return nil, r.lease.Why(errBusy())
		}
		buf = d.buffers.resize(buf, size)
		var err error
		for n < size && err == nil {
			var got int
			got, err = req.Body.Read((*buf)[n:])
			n += got
		}
		*buf = (*buf)[:n]
		switch {
		case n > limit:
			err = errTooLarge(limit)
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			err = bodyError(req.Context(), err)
		default:
			continue
		}
		d.buffers.Put(buf)
		return nil, err
	}
}

// bodyError is what a body that cannot be read means.
func bodyError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.Canceled.Wrap(err, "the caller went away")
	}
	return fault.Invalid.Wrap(err, "the request body cannot be read").WithReason("BODY_TRUNCATED")
}

// answerError answers an error as google.rpc.Status in the encoding of the
// request, and returns its code.
func (d *Door) answerError(w http.ResponseWriter, req *http.Request, err error) codes.Code {
	code, public := d.refuse(req.Context(), req.URL.Path, err)
	st := status.Convert(public)
	h := fault.FromCode(code).HTTP()
	switch code {
	case codes.ResourceExhausted:
		if fault.Of(err).RetryAfter() == 0 {
			h = http.StatusRequestEntityTooLarge // 429 would mean: try again
		}
	case codes.DeadlineExceeded:
		h = http.StatusServiceUnavailable
	case codes.Unauthenticated:
		w.Header().Set("WWW-Authenticate", "Bearer")
	default:
	}
	hangUp(w, req, code)
	d.answerStatus(w, req, h, st)
	return code
}

// small is what may follow of a body that nobody reads, rather than ending the
// connection for it.
const small = 64 << 10

// hangUp lets the connection end with the answer to who is turned away, instead of
// waiting for the rest of a large body, or of one of unknown length, before it is
// answered.
func hangUp(w http.ResponseWriter, req *http.Request, code codes.Code) {
	switch code {
	case codes.ResourceExhausted, codes.Unauthenticated, codes.PermissionDenied:
	default:
		return
	}
	if req.ProtoMajor == 1 && (req.ContentLength < 0 || req.ContentLength > small) {
		w.Header().Set("Connection", "close")
	}
}

func (d *Door) answerStatus(w http.ResponseWriter, req *http.Request, code int, st *status.Status) {
	st = rpc.WithRequest(st, requestid.From(req.Context()))
	for _, detail := range st.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			w.Header().Set("Retry-After", fault.RetryHeader(retry.GetRetryDelay().AsDuration()))
		}
	}
	// In JSON unless protobuf was sent: whoever sent neither can read it.
	if mediaType(req) == typeProto {
		if body, err := proto.Marshal(st.Proto()); err == nil {
			answer(w, code, typeProto, body)
			return
		}
	}
	body, err := protojson.Marshal(st.Proto())
	if err != nil {
		body = []byte("{}")
	}
	answer(w, code, typeJSON, body)
}

func answer(w http.ResponseWriter, code int, media string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) // the caller is gone: nobody left to tell
}

// ownPages turns away web pages that speak in somebody else's name.
func (d *Door) ownPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := d.deps.Pages.Check(req); err != nil {
			d.answerError(w, req, err)
			return
		}
		next.ServeHTTP(w, req)
	})
}

// cors lets web pages of the origins in the settings send traces.
func (d *Door) cors(next http.Handler) http.Handler {
	if len(d.cfg.CORSOrigins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Add("Vary", "Origin")
		origin := req.Header.Get("Origin")
		allowed := origin != "" && slices.ContainsFunc(d.cfg.CORSOrigins, func(o string) bool {
			return o == "*" || strings.EqualFold(o, origin)
		})
		if allowed {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Expose-Headers", requestid.Header)
		}
		if req.Method == http.MethodOptions && req.Header.Get("Access-Control-Request-Method") != "" {
			if allowed {
				w.Header().Set("Access-Control-Allow-Methods", http.MethodPost)
				w.Header().Set("Access-Control-Allow-Headers", "authorization, content-encoding, content-type, traceparent, tracestate, x-api-key, x-request-id")
				w.Header().Set("Access-Control-Max-Age", "7200")
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, req)
	})
}
