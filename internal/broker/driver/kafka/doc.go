// Package kafka is the driver for Apache Kafka and what speaks its protocol.
//
// A topic is the Kafka topic <prefix>.<topic>, with as many partitions as the
// URL says; they are its lanes. A group is the Kafka consumer group
// <prefix>.<topic>.<group>. The prefix is "driftmesh" unless the URL says
// otherwise. Kafka has no place for what else a GroupSpec says: each process
// knows it that called EnsureGroup, and the others take the defaults.
//
// # Publishing
//
// Keyed messages go to the partition that Java's default partitioner chooses
// (murmur2); the others of one Publish share a partition as long as they are
// small, and the next Publish takes the next one. A nil error means that every
// in-sync replica has the message. Kafka does not remember message IDs: a
// message published again after ErrUnknownOutcome may be there twice.
//
// # Consuming
//
// Kafka knows one number per partition and group: the offset before which all
// is done. Everything else that the contract asks for is kept in the metadata
// of the committed offset: how far deliveries went, which of them are
// acknowledged out of order, and how often the others were tried. So an
// acknowledgement holds however the process ends, and attempts survive crashes.
// Between the oldest unsettled message of a partition and its newest delivery
// are at most 16384 messages; then that partition waits.
//
// A message that is given back comes again from this worker, after its delay,
// while later messages go on. Messages of one key are with one batch at a time,
// which keeps their order while nothing fails.
//
// The lease on a batch is this driver's own: when it has run out, the messages
// are delivered again. A worker that lets a lease run out and does not call
// Receive leaves the group, so that others get its partitions; its next Receive
// joins again. When workers come or go, every worker of the group stops, ends
// what it has within 30 seconds, and then loses the rest (Kafka's rebalance). A
// worker that died is noticed after the session timeout of the URL, not after
// AckWait. GroupSpec.MaxInFlight is not kept: ConsumerConfig bounds each worker.
//
// Kafka forgets a group that had no worker for offsets.retention.minutes (a
// week), and then it begins again at its start.
//
// # Limits
//
// Kafka refuses nothing, and at retention.bytes deletes the oldest messages,
// read or not. So topics made here have a thousand times TopicSpec.MaxBytes for
// retention.bytes, and the limit is kept by us: each publisher looks at the
// backlog of the slowest group (messages, times their average size of late) and
// publishes no more than an eighth of the room before it looks again. What all
// have read is deleted when a topic holds more than its limit. Publishers that
// are not ours are bounded by Kafka's quotas, and by nothing here; what they
// publish is kept for TopicSpec.MaxAge.
//
// A batch that unpacks to more than 256 MiB, and a message of more than 32 MiB,
// are left behind and counted as lost, with their partition in the log.
//
// A topic that is made anew under its name is told apart by its id, from Kafka
// 3.1 on. Before, only a group that stood past its end notices.
//
// # Wire form
//
// The value is the payload, and a record with nothing but a value is a message.
// The key is the key, and a null key is none. Headers are headers. The id is
// the header driftmesh-x-id. The producer's time is in driftmesh-time, or else
// in driftmesh-x-time (Unix nanoseconds), or else the record's timestamp.
package kafka
