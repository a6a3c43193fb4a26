package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// classes are what an error can already be.
var classes = []error{
	broker.ErrInvalid, broker.ErrUnavailable, broker.ErrDenied, broker.ErrUnroutable,
	broker.ErrNoGroup, broker.ErrUnsupported, broker.ErrBackpressure, broker.ErrClosed, broker.ErrUnknownOutcome,
	broker.ErrLeaseLost,
}

// classify gives an error of the library, or of the server, its class.
func classify(err error) error {
	if err == nil {
		return nil
	}
	for _, class := range classes {
		if errors.Is(err, class) {
			return err
		}
	}
	class := error(broker.ErrUnavailable)
	switch {
	case refused(err):
		class = broker.ErrDenied
	case goredis.HasErrorPrefix(err, "OOM"):
		class = broker.ErrBackpressure
	case goredis.HasErrorPrefix(err, "The stream has exhausted the last possible ID"):
		class = connect.ErrFull // it is shut; see lua/common.lua
	case goredis.HasErrorPrefix(err, "NOGROUP"):
		class = broker.ErrNoGroup
	case goredis.HasErrorPrefix(err, "no such key"), goredis.HasErrorPrefix(err, "WRONGTYPE"),
		goredis.HasErrorPrefix(err, "UNBLOCKED"):
		class = broker.ErrUnroutable // nothing is there, or something of somebody else's
	case errors.Is(err, goredis.ErrClosed):
		class = broker.ErrClosed
	}
	return fmt.Errorf("%w: %w", class, err)
}

// refused reports whether the server refused us, or we it, for who it is.
func refused(err error) bool {
	for _, word := range []string{"NOAUTH", "WRONGPASS", "NOPERM", "AUTH "} {
		if goredis.HasErrorPrefix(err, word) {
			return true
		}
	}
	if isReply(err) && strings.Contains(err.Error(), "The user executing the script can't") {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.AlertError](err)
	return ok
}

// isReply reports whether the server answered, with an error.
func isReply(err error) bool {
	_, ok := errors.AsType[goredis.Error](err)
	return ok
}

// breaks reports whether an error means that nothing will work for a while.
func breaks(err error) bool {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, goredis.Nil), errors.Is(err, goredis.ErrPoolTimeout):
		return false
	case isReply(err):
		return goredis.IsLoadingError(err) || goredis.IsReadOnlyError(err) || goredis.IsMasterDownError(err) ||
			goredis.IsClusterDownError(err) || goredis.HasErrorPrefix(err, "NOAUTH") || goredis.HasErrorPrefix(err, "WRONGPASS")
	}
	return true
}

// unsent reports whether an error of a pipeline came before anything was sent.
func unsent(err error) bool {
	if _, ok := errors.AsType[dialError](err); ok {
		return true
	}
	return isReply(err) || errors.Is(err, goredis.ErrPoolTimeout) || errors.Is(err, goredis.ErrClosed) ||
		errors.Is(err, goredis.ErrPoolExhausted)
}
