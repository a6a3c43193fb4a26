// Package rabbitmq is the RabbitMQ driver, over AMQP 0.9.1.
//
// A topic is a durable fanout exchange named <prefix>.<topic>; a group is a
// quorum queue named <prefix>.<topic>.<group> that is bound to it. The prefix
// is "driftmesh" unless the URL says otherwise. A DLQ keeps its messages with
// nobody reading: it has one queue from the beginning, named like its exchange,
// and its groups share that.
//
// # What differs from other brokers
//
// A queue keeps what its group has not acknowledged, whatever its age, and
// nothing else: MaxAge removes nothing, there is nothing to replay, and a group
// that comes late begins with what is published next. When a group's queue
// holds MaxBytes, publishing is refused with ErrBackpressure; a topic with
// several groups may then have given the message to those that had room, so a
// repetition may reach those twice. Groups that may lose drop their oldest
// messages instead, uncounted.
//
// The arguments of a queue can neither be read nor changed. One that exists
// keeps its size and its replicas; one that would lose messages is refused. A
// group's AckWait is kept by the connection that ensured the group, or was given
// it as a consumer.
//
// A queue that was deleted is made anew after a second, when the broker has told
// its channels; what it held is gone. A tail of a topic whose exchange was made
// anew hears nothing until it is opened again.
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
