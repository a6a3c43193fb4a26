package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/requestid"
	"github.com/driftmesh/driftmesh/internal/rpc"
)

// problem is an error as callers see it.
type problem struct {
	Code    string            `json:"code"`
	Message string            `json:"message"`
	Reason  string            `json:"reason,omitempty"`
	Details []json.RawMessage `json:"details"`
}

// apiError answers a JSON route's error.
func apiError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if b := bodyOf(ctx); b != nil && b.exceeded {
		err = errTooLarge(b.limit)
	}
	var own *runtime.HTTPStatusError
	if errors.As(err, &own) {
		writeStatus(w, status.Convert(own.Err), own.HTTPStatus)
		return
	}
	writeError(w, err)
}

// routingError answers a request that fits no route.
func routingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, httpStatus int) {
	f := fault.NotFound.New("there is no such route; see /openapi.json")
	switch httpStatus {
	case http.StatusMethodNotAllowed:
		f = fault.Unsupported.New("this route does not know the method; see /openapi.json")
	case http.StatusBadRequest:
		f = fault.Invalid.New("the path is malformed")
	}
	writeStatus(w, rpc.Status(f.WithReason("NO_SUCH_ROUTE")), httpStatus)
}

func errTooLarge(limit int64) error {
	return &sized{fault.Exhausted.New("the request body is larger than %d bytes", limit).WithReason("REQUEST_TOO_LARGE")}
}

// sized is an error whose HTTP status is 413.
type sized struct{ *fault.Fault }

// writeError answers with any error: a fault, a status or one that says nothing
// to the caller.
func writeError(w http.ResponseWriter, err error) {
	st := rpc.Status(err)
	httpStatus := fault.FromCode(st.Code()).HTTP()
	if errors.As(err, new(*sized)) {
		httpStatus = http.StatusRequestEntityTooLarge
	}
	writeStatus(w, st, httpStatus)
}

// Unwrap lets rpc.Status find the fault.
func (s *sized) Unwrap() error { return s.Fault }

func writeStatus(w http.ResponseWriter, st *status.Status, httpStatus int) {
	st = rpc.WithRequest(st, w.Header().Get(requestid.Header))
	hint(w.Header(), st)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus)
	_ = json.NewEncoder(w).Encode(problemOf(st)) // the caller went away: nobody is left to tell
}

// hint says in headers what the caller can do about an error.
func hint(head http.Header, st *status.Status) {
	if st.Code() == codes.Unauthenticated {
		head.Set("WWW-Authenticate", `Bearer realm="driftmesh"`)
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			head.Set("Retry-After", fault.RetryHeader(info.GetRetryDelay().AsDuration()))
		}
	}
}

func problemOf(st *status.Status) problem {
	p := problem{
		Code: code.Code(st.Code()).String(), Message: st.Message(),
		Details: make([]json.RawMessage, 0, len(st.Proto().GetDetails())),
	}
	for _, d := range st.Proto().GetDetails() {
		if raw, err := protojson.Marshal(d); err == nil {
			p.Details = append(p.Details, raw)
		}
		if m, err := d.UnmarshalNew(); err == nil {
			if info, ok := m.(*errdetails.ErrorInfo); ok {
				p.Reason = info.GetReason()
			}
		}
	}
	return p
}

// Marshal writes a stream's error like every other error; the rest is plain
// JSON.
func (m *marshaler) Marshal(v any) ([]byte, error) {
	if chunk, ok := v.(map[string]proto.Message); ok {
		if st, ok := chunk["error"].(*statuspb.Status); ok {
			return json.Marshal(map[string]problem{"error": problemOf(status.FromProto(st))})
		}
	}
	return m.JSONPb.Marshal(v)
}
