package jaeger

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// traceNotFound is how Jaeger words it; its interface looks for nothing else.
const traceNotFound = "trace not found"

// statusClientGone is nginx's code for a caller that went away.
const statusClientGone = 499

// Fail answers a request with an error in Jaeger's shape.
func (h *Handler) Fail(w http.ResponseWriter, r *http.Request, err error) {
	status, message := h.explain(w, r, err)
	writeJSON(w, status, envelope{Errors: []jsonError{{Code: status, Msg: message}}})
}

// explain chooses status and message, sets Retry-After and logs what is ours.
func (h *Handler) explain(w http.ResponseWriter, r *http.Request, err error) (int, string) {
	f := fault.Of(err)
	if f.Kind() == fault.Unavailable && f.Reason() == "" {
		// What gRPC says of a broken connection names addresses.
		f = fault.Unavailable.Wrap(err, "the trace store is not available now").WithRetryAfter(time.Second)
	}
	if f.Kind() == fault.Internal {
		h.log.ErrorContext(r.Context(), "jaeger request failed", slog.String("path", r.URL.Path), slog.Any("err", err))
	}
	if f.RetryAfter() > 0 {
		w.Header().Set("Retry-After", fault.RetryHeader(f.RetryAfter()))
	}
	status := f.Kind().HTTP()
	if f.Kind() == fault.Canceled {
		status = statusClientGone
	}
	if f.Kind() == fault.NotFound {
		return status, traceNotFound
	}
	return status, f.Message()
}

func (h *Handler) write(w http.ResponseWriter, r *http.Request, body any) {
	if p := r.URL.Query().Get("prettyPrint"); p != "" && p != "false" {
		if raw, err := json.MarshalIndent(body, "", "    "); err == nil {
			writeBytes(w, http.StatusOK, raw)
			return
		}
	}
	writeJSON(w, http.StatusOK, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		http.Error(w, `{"errors":[{"code":500,"msg":"internal error"}]}`, http.StatusInternalServerError)
		return
	}
	writeBytes(w, status, raw)
}

func writeBytes(w http.ResponseWriter, status int, raw []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // the caller went away: nobody is left to tell
}
