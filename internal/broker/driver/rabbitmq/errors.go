package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// contract are the errors that need no class any more.
var contract = []error{
	errUnsafe, broker.ErrInvalid, broker.ErrUnavailable, broker.ErrDenied, broker.ErrUnroutable,
	broker.ErrNoGroup, broker.ErrUnsupported, broker.ErrBackpressure, broker.ErrClosed, broker.ErrLeaseLost,
}

// classify gives an error of the library its class.
func classify(err error) error {
	if err == nil {
		return nil
	}
	for _, c := range contract {
		if errors.Is(err, c) {
			return err
		}
	}
	class := error(broker.ErrUnavailable)
	switch code(err) {
	case amqp.AccessRefused, amqp.NotAllowed:
		class = broker.ErrDenied
	case amqp.NotFound:
		class = broker.ErrUnroutable
	case amqp.PreconditionFailed:
		class = errUnsafe
	}
	return fmt.Errorf("%w: %w", class, err)
}

// code is the reply code of an error that the broker sent, else 0.
func code(err error) int {
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Server {
		return e.Code
	}
	return 0
}

// refused reports whether an error of connecting says that the broker refuses
// us for who we are, or we it.
func refused(err error) bool {
	e, ok := errors.AsType[*amqp.Error](err)
	switch {
	case ok && e.Server && e.Code == amqp.AccessRefused:
		return true
	case ok && e.Server && e.Code == amqp.NotAllowed: // also: too many connections
		return !strings.Contains(e.Reason, "limit")
	case errors.Is(err, amqp.ErrSASL):
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	_, ok = errors.AsType[tls.AlertError](err)
	return ok
}

// ended is the class of an error of ctx: nothing more was asked of the broker.
func ended(ctx context.Context) error {
	return fmt.Errorf("%w: %w", broker.ErrUnavailable, context.Cause(ctx))
}
