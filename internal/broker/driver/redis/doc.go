// Package redis is the Redis Streams driver, for Redis 7.0 and later.
//
// A topic is one stream, <prefix>:{<topic>}, and a hash beside it with the
// settings of the topic and its groups; a group is a consumer group of the
// stream. The prefix is "driftmesh" unless the URL says otherwise. A worker is a
// consumer whose name is its own; what a worker gives back goes to the consumer
// named "returned", from where any worker claims it when it is due.
//
// # Wire form
//
// An entry of the stream is a message; its fields are
//
//	v         the payload; all that is required
//	k         the ordering key
//	i         the id
//	t         the producer's time, Unix nanoseconds, where there is no h:driftmesh-time
//	h:<name>  a header, whose value is the bytes as they are
//
// so that anybody can publish:
//
//	redis-cli XADD 'driftmesh:{spans}' NOMKSTREAM '*' v "$payload" h:driftmesh-type otlp.traces.v1
//
// Names of headers are lower-cased on receipt; fields of other names are
// ignored. Ids of entries must be the server's ("*"): they are the time that
// retention goes by.
//
// # Limits
//
// A topic has one lane, and its workers share it: Redis hands an entry to
// whoever asks, so that order by key holds with one worker only. Nothing is
// de-duplicated. A delay of a retry is cut to the group's AckWait.
//
// Redis has no retention: a script trims each stream about once a second, run
// by every process that has used the topic, and done by one of them. MaxBytes
// bounds the memory that the stream takes, by the server's own estimate.
// Entries that a group has not acknowledged are never removed for it. Then the
// stream is shut: its last id becomes the largest there is, and the server
// refuses every XADD, "The stream has exhausted the last possible ID", until
// there is room. That holds for producers that this package knows nothing of, and
// for dead letters.
//
// # The servers
//
// A URL names one server; or a primary and its replicas, each of which is asked
// what it is; or the sentinels that know the primary; or nodes of a cluster. All
// keys of a topic are in one slot. Two servers that both say they are the primary
// are not chosen between: the driver is not ready, and says why.
//
// It needs appendonly yes and maxmemory-policy noeviction. What an
// acknowledgement means is its setting appendfsync: with "always", the message
// is on disk; with "everysec", killing the server may lose the last second or
// two, because it answers before it has written its log while the disk is busy.
// Capabilities.Durability says which it is.
//
// A user needs the keys ~<prefix>:* and the commands hello, auth, ping, select,
// client|setname, xadd, xreadgroup, xread, xrange, xrevrange, xlen, xack, xclaim, xpending,
// xtrim, xsetid, xgroup, xinfo, info, memory|usage, time, exists, hset, hsetnx, hget, hgetall,
// hdel, eval, evalsha and script|load; wait, where the URL asks for it; cluster|slots,
// cluster|info and command on a cluster; config|get, if given, lets it say how
// durable the server is. Those who only publish need hello, auth, ping, select,
// client|setname and xadd, and info where the URL has several hosts.
package redis
