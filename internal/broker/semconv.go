package broker

import (
	"go.opentelemetry.io/otel/attribute"
)

// Names of OpenTelemetry's messaging conventions, v1.43.0 (in development
// there), and our own beside them. This is the one place that knows them.
const (
	attrSystem        = "messaging.system"
	attrOperation     = "messaging.operation.name"
	attrOperationType = "messaging.operation.type"
	attrDestination   = "messaging.destination.name"
	attrPartition     = "messaging.destination.partition.id"
	attrGroup         = "messaging.consumer.group.name"
	attrClientID      = "messaging.client.id"
	attrBatchCount    = "messaging.batch.message_count"
	attrMessageID     = "messaging.message.id"
	attrBodySize      = "messaging.message.body.size"
	attrErrorType     = "error.type"

	attrDwell        = "driftmesh.broker.dwell"    // seconds in the broker
	attrAttempt      = "driftmesh.broker.attempt"  // of the delivery
	attrPosition     = "driftmesh.broker.position" // in the lane
	attrTries        = "driftmesh.broker.tries"    // of the handler, within this delivery
	attrLinksDropped = "driftmesh.links.dropped"
	attrDLQReason    = "driftmesh.dlq.reason"
	attrOutcome      = "driftmesh.broker.outcome" // done, retry, aside (in the retry topic) or dead
)

// maxLinks bounds the links of one span, and the messages of a batch that are
// traced one by one.
const maxLinks = 64

// attributes are those every messaging span has.
func (t *Telemetry) attributes(operation, kind, topic string) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String(attrSystem, t.system),
		attribute.String(attrOperation, operation),
		attribute.String(attrOperationType, kind),
		attribute.String(attrDestination, topic),
	}
}
