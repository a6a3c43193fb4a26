package instrument

// Names of OpenTelemetry's messaging conventions, v1.43.0 (in development
// there), and our own beside them. This is the one place that knows them.
const (
	attrSystem        = "messaging.system"
	attrOperation     = "messaging.operation.name"
	attrOperationType = "messaging.operation.type"
	attrDestination   = "messaging.destination.name"
	AttrPartition     = "messaging.destination.partition.id"
	AttrGroup         = "messaging.consumer.group.name"
	AttrClientID      = "messaging.client.id"
	AttrBatchCount    = "messaging.batch.message_count"
	AttrMessageID     = "messaging.message.id"
	AttrBodySize      = "messaging.message.body.size"
	AttrErrorType     = "error.type"

	AttrDwell        = "driftmesh.broker.dwell"    // seconds in the broker
	AttrAttempt      = "driftmesh.broker.attempt"  // of the delivery
	AttrPosition     = "driftmesh.broker.position" // in the lane
	AttrTries        = "driftmesh.broker.tries"    // of the handler, within this delivery
	AttrLinksDropped = "driftmesh.links.dropped"
	AttrDLQReason    = "driftmesh.dlq.reason"
	AttrOutcome      = "driftmesh.broker.outcome" // done, retry, aside (in the retry topic) or dead
)

// MaxLinks bounds the links of one span, and the messages of a batch that are
// traced one by one.
const MaxLinks = 64
