package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Codes of Kafka by what they mean to us.
var (
	deniedCodes = []kafkago.Error{
		kafkago.TopicAuthorizationFailed, kafkago.GroupAuthorizationFailed, kafkago.ClusterAuthorizationFailed,
		kafkago.BrokerAuthorizationFailed, kafkago.SASLAuthenticationFailed, kafkago.UnsupportedSASLMechanism,
		kafkago.IllegalSASLState,
	}
	invalidCodes = []kafkago.Error{
		// Not InvalidReplicationFactor: so says a cluster that starts, of which too
		// few brokers are registered, or all are fenced.
		kafkago.InvalidTopic, kafkago.InvalidRecord, kafkago.InvalidTimestamp,
		kafkago.InvalidPartitionNumber, kafkago.InvalidConfiguration, kafkago.PolicyViolation, kafkago.InvalidRequest,
	}
	tooLargeCodes = []kafkago.Error{kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge, kafkago.InvalidMessageSize}
	// fencedCodes say that the group has moved on without us.
	fencedCodes = []kafkago.Error{
		kafkago.IllegalGeneration, kafkago.UnknownMemberId, kafkago.RebalanceInProgress, kafkago.FencedInstanceID,
	}
	// movedCodes say that metadata is out of date; nothing was stored.
	movedCodes = []kafkago.Error{
		kafkago.NotLeaderForPartition, kafkago.LeaderNotAvailable, kafkago.UnknownTopicOrPartition,
		kafkago.UnknownTopicID, kafkago.InconsistentTopicID, kafkago.BrokerNotAvailable, kafkago.ReplicaNotAvailable, kafkago.FencedLeaderEpoch, kafkago.UnknownLeaderEpoch,
	}
	// unknownCodes say that there is no such topic.
	unknownCodes = []kafkago.Error{kafkago.UnknownTopicOrPartition, kafkago.UnknownTopicID, kafkago.InconsistentTopicID}
	// refusedCodes say that a broker that we reached stored nothing.
	refusedCodes = []kafkago.Error{kafkago.NotEnoughReplicas, kafkago.KafkaStorageError}
	// contract are the errors that have a class already.
	contract = []error{
		broker.ErrTooLarge, broker.ErrInvalid, broker.ErrUnroutable, broker.ErrDenied, broker.ErrUnavailable,
		broker.ErrBackpressure, broker.ErrUnknownOutcome, broker.ErrLeaseLost, broker.ErrUnsupported,
		broker.ErrNoGroup, broker.ErrClosed,
	}
)

// is reports whether err carries one of the codes.
func is(err error, codes []kafkago.Error) bool {
	code, ok := errors.AsType[kafkago.Error](err)
	return ok && slices.Contains(codes, code)
}

// isDenied reports whether a broker refused us, or we it, for who it is.
func isDenied(err error) bool {
	if is(err, deniedCodes) {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.AlertError](err)
	return ok
}

// isMoved reports whether metadata is out of date.
func isMoved(err error) bool {
	return is(err, movedCodes) || errors.Is(err, protocol.ErrNoTopic) ||
		errors.Is(err, protocol.ErrNoPartition) || errors.Is(err, protocol.ErrNoLeader)
}

// isUnknownTopic reports whether the topic does not exist, as far as whoever
// said so knows.
func isUnknownTopic(err error) bool {
	return is(err, unknownCodes) || errors.Is(err, protocol.ErrNoTopic)
}

// notSent reports whether the connection was never made.
func notSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// class is the contract's error for what Kafka or the network said.
func class(err error) error {
	switch {
	case isDenied(err):
		return broker.ErrDenied
	case is(err, tooLargeCodes):
		return broker.ErrTooLarge
	case is(err, invalidCodes):
		return broker.ErrInvalid
	case is(err, fencedCodes):
		return broker.ErrLeaseLost
	case errors.Is(err, kafkago.ThrottlingQuotaExceeded):
		return broker.ErrBackpressure
	case isUnknownTopic(err):
		return broker.ErrUnroutable
	}
	return broker.ErrUnavailable
}

// classify gives an error its class, unless it has one.
func classify(err error) error {
	if err == nil {
		return nil
	}
	for _, c := range contract {
		if errors.Is(err, c) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", class(err), err)
}

// outcome is what became of a message whose publishing failed. What can not be
// told for certain is unknown.
func outcome(err error) error {
	c := class(err)
	if errors.Is(c, broker.ErrUnavailable) && !isMoved(err) && !notSent(err) && !is(err, refusedCodes) {
		c = broker.ErrUnknownOutcome
	}
	return fmt.Errorf("%w: %w", c, err)
}

// passing reports whether it is worth to ask again.
func passing(err error) bool {
	return (errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrBackpressure)) && !errors.Is(err, context.Canceled)
}
