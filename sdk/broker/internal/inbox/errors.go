package inbox

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/sdk"
)

// fullWait is how long to wait before a broker that is full is asked again.
const fullWait = time.Second

var (
	// errUnknown says that a batch may be stored: sent again under its id it counts
	// once all the same.
	errUnknown = errors.New("it may have arrived or not")
	errClosed  = &sdk.TransportError{Permanent: true, Cause: errors.New("the transport is closed")}
)

// Unknown is the error of a message that may have arrived.
func Unknown(cause error) error { return fmt.Errorf("%w: %w", errUnknown, cause) }

// Full is the error of a broker that takes no more for now.
func Full(cause error) error { return &sdk.TransportError{RetryAfter: fullWait, Cause: cause} }

// Refused is the error of a broker that does not let us in, or we it, or does not
// let us publish.
func Refused(cause error) error {
	return &sdk.TransportError{Permanent: true, Cause: cause}
}

// TooLarge is the error of a body that is larger than what is taken.
func TooLarge(size, limit int) error {
	return &sdk.TransportError{Permanent: true, Cause: fmt.Errorf("a batch of %d bytes is larger than the %d it takes: make batches smaller, or raise its limit", size, limit)}
}

// BadCertificate tells whether an error is about who somebody is on a connection
// with TLS, which does not mend itself.
func BadCertificate(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok
}
