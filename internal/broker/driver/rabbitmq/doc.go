// Package rabbitmq is the RabbitMQ driver, over AMQP 0.9.1.
//
// A topic is a durable fanout exchange named <prefix>.<topic>; a group is a
// quorum queue named <prefix>.<topic>.<group> that is bound to it. The prefix
// is "driftmesh" unless the URL says otherwise. A DLQ keeps its messages with
// nobody reading: it has a queue from the beginning, named like its exchange,
// which its first group takes over. What was provisioned
// is remembered in a queue of its own, <prefix>.<topic>:settings, because AMQP
// cannot read the arguments of an exchange or a queue.
//
// # What differs from other brokers
//
// A queue keeps what its group has not acknowledged, whatever its age, and
// nothing else: MaxAge removes nothing, and there is nothing to replay, so Seek
// and late groups that want the past are not supported. When a group's queue
// holds MaxBytes, publishing is refused with ErrBackpressure; a topic with
// several groups may then have given the message to those that had room, so a
// repetition may reach those twice. Groups that may lose, and DLQs, drop their
// oldest messages instead, uncounted.
//
// A delivery belongs to its connection: when that ends, the lease is lost and
// the broker gives the delivery to others at once. The driver itself ends the
// lease of a worker that holds its batch for longer than AckWait. A retry with
// a delay is held back in the driver's memory and returns early when the
// process or the connection ends.
//
// Lag is exact while the group's workers share this connection. AMQP does not
// tell what the workers of others hold: with the parameter "management" the
// driver asks the management API, whose numbers are some seconds old; without
// it such a lag is not Known.
//
// # Wire form
//
// The value is the body and the id is the property message-id. Headers are
// headers of the same name, text as a long string and the values of "-bin"
// headers as a byte array. The key is the routing key, or the header
// driftmesh-x-key as a byte array where it is empty, longer than 255 bytes or
// not printable ASCII; without either there is none. The producer's time is in
// driftmesh-time, or else in driftmesh-x-time (Unix nanoseconds, long), or else
// in the property timestamp. A producer may state its user in the property user-id,
// which the broker verifies; nobody else's name passes, except from users with
// the tag impersonator. Publish to the topic's exchange, persistent and
// mandatory, and wait for the confirm: an unroutable message is returned and
// confirmed all the same.
package rabbitmq
