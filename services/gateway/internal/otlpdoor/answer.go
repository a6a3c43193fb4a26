package otlpdoor

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/rpc"
)

// errTooLarge refuses a request for its size. There is no retry hint: it would
// not get smaller.
func errTooLarge(limit int) error {
	return fault.Exhausted.New("the request is larger than %d bytes after decompression", limit).WithReason(reasonTooLarge)
}

const reasonTooLarge = "REQUEST_TOO_LARGE"

// errGzip refuses a body that is not gzip.
func errGzip(cause error) error {
	return fault.Invalid.Wrap(cause, "the request is not valid gzip").WithReason("INVALID_GZIP")
}

// errBusy turns a request away because the budget is used up. The retry hint
// is added by publicError.
func errBusy() error {
	return fault.Unavailable.New("too many requests are in hand, try again").WithReason("DOOR_BUSY")
}

// publicError is what the caller learns of err: always a status of the OTLP
// rules, where UNAVAILABLE and its retry hint mean "send the same again".
func publicError(err error, retry time.Duration) *status.Status {
	var wire *otlp.MalformedError
	if errors.As(err, &wire) {
		return malformed(wire)
	}
	var st interface{ GRPCStatus() *status.Status }
	if _, ours := errors.AsType[*fault.Fault](err); !ours && errors.As(err, &st) {
		return st.GRPCStatus() // said by gRPC, or by us in its words
	}
	f := fault.Of(err)
	if f.Kind() == fault.Unavailable || f.Kind() == fault.Timeout {
		if f.RetryAfter() == 0 {
			f = f.WithRetryAfter(retry)
		}
	}
	return rpc.Status(f)
}

// malformed names field and rule twice: for people and, as BadRequest, for
// programs.
func malformed(wire *otlp.MalformedError) *status.Status {
	st := status.New(codes.InvalidArgument, "the request is not valid OTLP: "+clip(wire.Error(), maxMessage))
	detailed, err := st.WithDetails(
		&errdetails.ErrorInfo{Reason: "MALFORMED_REQUEST", Domain: "driftmesh"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: clip(wire.Field, maxMessage), Description: wire.Problem},
		}})
	if err != nil {
		return st
	}
	return detailed
}

// publishError is what a failed publish means to the caller.
func publishError(err error) error {
	switch {
	case errors.Is(err, broker.ErrTooLarge):
		return fault.Exhausted.Wrap(err, "the request is too large for the broker").WithReason(reasonTooLarge)
	case errors.Is(err, broker.ErrInvalid):
		return fault.Internal.Wrap(err, "internal error")
	}
	return fault.Unavailable.Wrap(err, "the broker cannot take the spans now, try again").WithReason("BROKER_UNAVAILABLE")
}

// maxMessage bounds error_message; the specification bounds the whole response
// to 4 MiB and wants the message shortened first.
const maxMessage = 4 << 10

// clip cuts s to at most n bytes between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Fields of ExportTraceServiceResponse and ExportTracePartialSuccess.
const (
	responsePartialSuccess = 1
	partialRejectedSpans   = 1
	partialErrorMessage    = 2
)

// protoAnswer is the ExportTraceServiceResponse for a report; empty when all
// was accepted.
func protoAnswer(rep *otlp.Report) []byte {
	if rep.Rejected == 0 {
		return nil
	}
	return partialSuccess(rep.Rejected, clip(rep.Message(), maxMessage))
}

// jsonAnswer is protoAnswer in OTLP/JSON.
func jsonAnswer(rep *otlp.Report) []byte {
	if rep.Rejected == 0 {
		return []byte("{}")
	}
	message, err := json.Marshal(clip(rep.Message(), maxMessage))
	if err != nil {
		message = []byte(`""`)
	}
	return fmt.Appendf(nil, `{"partialSuccess":{"rejectedSpans":"%d","errorMessage":%s}}`, rep.Rejected, message)
}
