package sdk

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	// ErrClosed is returned by calls after Close.
	ErrClosed = errors.New("the driftmesh client is closed")
	// ErrFull is returned by TrySend when the queue has no room.
	ErrFull = errors.New("the queue of the driftmesh client is full")
)

// Rejection says why the mesh refused one record. It is final: the same record
// would be refused again.
type Rejection struct {
	RecordID string
	Field    string // path of the offending field
	Reason   string // name of the rule, such as "unknown_profile"
	Message  string // the rule in words
}

// maxRejections bounds the rejections that an error holds.
const maxRejections = 100

// RejectedError says that the mesh refused records. All others are durable.
type RejectedError struct {
	// Count is how many were refused.
	Count uint64
	// Rejections are the first hundred.
	Rejections []Rejection
}

// Error names the first rejection.
func (e *RejectedError) Error() string {
	if len(e.Rejections) == 0 {
		return fmt.Sprintf("%d records were refused", e.Count)
	}
	r := e.Rejections[0]
	return fmt.Sprintf("%d records were refused; the first, %s, for %s: %s", e.Count, r.RecordID, r.Reason, r.Message)
}

// UnsentError says that records were given up, because the mesh will not have
// them in this way: no access, or a batch it cannot read. They may be sent again
// once the cause is mended.
type UnsentError struct {
	// Count is how many records were given up.
	Count uint64
	// Cause is the gRPC status that the mesh gave.
	Cause error
}

// Error names the cause.
func (e *UnsentError) Error() string {
	return fmt.Sprintf("%d records were not sent: %v", e.Count, e.Cause)
}

// Unwrap gives the cause.
func (e *UnsentError) Unwrap() error { return e.Cause }

// retryable tells whether a call that failed with err may be made again, and
// how long the mesh asks to wait. Exhausted without a hint is a limit that a
// repeat would meet again.
func retryable(err error) (wait time.Duration, ok bool) {
	st, isStatus := status.FromError(err)
	if !isStatus {
		return 0, true // the stream ended
	}
	hinted := false
	for _, d := range st.Details() {
		if info, is := d.(*errdetails.RetryInfo); is {
			wait, hinted = info.GetRetryDelay().AsDuration(), true
		}
	}
	switch st.Code() {
	case codes.OK, codes.Unavailable, codes.Aborted, codes.DeadlineExceeded, codes.Canceled, codes.Internal, codes.Unknown:
		return wait, true
	case codes.ResourceExhausted:
		return wait, hinted
	default:
		return 0, false
	}
}
