package rpc

import (
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// domain of the reasons in ErrorInfo (AIP-193).
const domain = "driftmesh"

// Status is what a caller learns of err: the fault's kind, message, reason and
// retry hint, never its cause. A status that came from a neighbour as it is,
// without a fault around it, keeps its code and message.
func Status(err error) *status.Status {
	if err == nil {
		return status.New(codes.OK, "")
	}
	var f *fault.Fault
	if !errors.As(err, &f) {
		var st interface{ GRPCStatus() *status.Status }
		if errors.As(err, &st) {
			// The status alone: status.FromError would add the text around it.
			return st.GRPCStatus()
		}
		f = fault.Of(err)
	}
	st := status.New(f.Kind().Code(), f.Message())
	var details []protoadapt.MessageV1
	if f.Reason() != "" {
		details = append(details, &errdetails.ErrorInfo{Reason: f.Reason(), Domain: domain})
	}
	if f.RetryAfter() > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(f.RetryAfter())})
	}
	if len(details) == 0 {
		return st
	}
	if detailed, err := st.WithDetails(details...); err == nil {
		return detailed
	}
	return st
}

// Fault turns a status that a client received back into a fault.
func Fault(err error) error {
	if err == nil {
		return nil
	}
	var f *fault.Fault
	if errors.As(err, &f) {
		return err
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	f = fault.FromCode(st.Code()).New("%s", st.Message())
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			f = f.WithReason(d.GetReason())
		case *errdetails.RetryInfo:
			f = f.WithRetryAfter(max(d.GetRetryDelay().AsDuration(), time.Millisecond))
		}
	}
	return f
}
