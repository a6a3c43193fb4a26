// Package nats is the NATS JetStream driver.
//
// A topic is a stream named <prefix>_<topic>, dots turned into underscores, on
// the subject <prefix>.<topic>; a group is a durable pull consumer of it. The
// prefix is "driftmesh" unless the URL says otherwise.
//
// A stream refuses what does not fit, whoever publishes; what every group has
// acknowledged is purged by whoever uses it (see janitor, and ADR 11). A stream
// that was made otherwise is changed to that, and nothing else about it.
//
// Publishing and consuming are done directly on the protocol, because that is
// where the cost is: one reply subscription serves all publishes, and a batch
// is pulled in two requests (one message, then the rest within the linger), so
// that no message waits in a client buffer while its lease runs. Streams,
// groups and tails go through the jetstream package.
//
// # Wire form
//
// The value is the payload, and headers are NATS headers of the same name. The
// id is Nats-Msg-Id. The values of "-bin" headers are in base64, and so are
// those of headers named in driftmesh-x-b64, which have blanks at an end. The
// key is in driftmesh-x-key, or in base64 in driftmesh-x-key-bin. The producer's
// time is in driftmesh-time, or else in driftmesh-x-time (Unix nanoseconds).
package nats
