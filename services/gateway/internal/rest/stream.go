package rest

import (
	"context"
	"net/http"

	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/rpc"
)

// streamError answers for a stream that broke. While nothing of it was sent, the
// answer is that of any other error: an opening tells.
func streamError(ctx context.Context, err error) *status.Status {
	st := rpc.Status(err)
	if b := bodyOf(ctx); b != nil {
		b.broke = st
	}
	return st
}

// opening is a response of a JSON route. grpc-gateway writes the error of a stream in an
// object of its own, as the last line of what was sent before; of one of which nothing
// was sent, this is not a line, and looks like every error.
type opening struct {
	http.ResponseWriter
	body *body
	sent bool // something was
	done bool // the whole answer was
}

// WriteHeader implements http.ResponseWriter.
func (o *opening) WriteHeader(code int) {
	if !o.sent && code >= http.StatusBadRequest && o.body != nil && o.body.broke != nil {
		o.sent, o.done = true, true
		o.Header().Del("Transfer-Encoding")
		writeStatus(o.ResponseWriter, o.body.broke, fault.FromCode(o.body.broke.Code()).HTTP())
		return
	}
	o.sent = true
	o.ResponseWriter.WriteHeader(code)
}

// Write implements io.Writer.
func (o *opening) Write(p []byte) (int, error) {
	if o.done {
		return len(p), nil
	}
	o.sent = true
	return o.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (o *opening) Flush() {
	o.sent = true
	_ = http.NewResponseController(o.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (o *opening) Unwrap() http.ResponseWriter { return o.ResponseWriter }
