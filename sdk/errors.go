package sdk

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned by calls after Shutdown.
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
	// Signal is "records" or "spans".
	Signal string
	// Count is how many were refused.
	Count uint64
	// Rejections are the first hundred.
	Rejections []Rejection
}

// Error names the first rejection.
func (e *RejectedError) Error() string {
	if len(e.Rejections) == 0 {
		return fmt.Sprintf("%d %s were refused", e.Count, e.Signal)
	}
	return fmt.Sprintf("%d %s were refused; the first: %s", e.Count, e.Signal, e.Rejections[0])
}

// String says why in words.
func (r Rejection) String() string {
	if r.Reason == "" {
		return r.Message
	}
	return fmt.Sprintf("%s, for %s: %s", r.RecordID, r.Reason, r.Message)
}

// UnsentError says that records or spans were given up, because the mesh will not
// have them in this way (no access, or a batch it cannot read), or, of spans, because
// there was no room. Records may be sent again once the cause is mended.
type UnsentError struct {
	// Signal is "records" or "spans".
	Signal string
	// Count is how many were given up.
	Count uint64
	// Cause is what the mesh said.
	Cause error
}

// Error names the cause.
func (e *UnsentError) Error() string {
	return fmt.Sprintf("%d %s were not sent: %v", e.Count, e.Signal, e.Cause)
}

// Unwrap gives the cause.
func (e *UnsentError) Unwrap() error { return e.Cause }
