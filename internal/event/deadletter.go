package event

import "strings"

// dlqSuffix makes the name of a topic that of its dead letters.
const dlqSuffix = ".dlq"

// DLQ is the topic that holds what a topic's groups have parked; a retry topic
// has that of its topic.
func DLQ(topic string) string { return RetryOf(topic) + dlqSuffix }

// IsDLQ reports whether a topic holds parked messages.
func IsDLQ(topic string) bool { return strings.HasSuffix(topic, dlqSuffix) }

// Origin is the topic whose dead letters a topic holds.
func Origin(dlq string) string { return strings.TrimSuffix(dlq, dlqSuffix) }

// PrefixDLQ begins the names of all headers that a message has for being parked.
const PrefixDLQ = "driftmesh-dlq-"

// Headers of a parked message. Its own headers, key, value and id stay as they
// were, unless HeaderDLQCut says otherwise; one that is parked again keeps
// HeaderDLQFirstSeen.
const (
	HeaderDLQReason    = PrefixDLQ + "reason"
	HeaderDLQError     = PrefixDLQ + "error"
	HeaderDLQAttempts  = PrefixDLQ + "attempts"
	HeaderDLQTopic     = PrefixDLQ + "topic"
	HeaderDLQGroup     = PrefixDLQ + "group"
	HeaderDLQLane      = PrefixDLQ + "lane"
	HeaderDLQPosition  = PrefixDLQ + "position"
	HeaderDLQFirstSeen = PrefixDLQ + "first-seen"
	HeaderDLQDeadAt    = PrefixDLQ + "dead-at"
	HeaderDLQWorker    = PrefixDLQ + "worker"

	// Of a stand-in alone: what is parked where the whole does not fit into the
	// DLQ, or breaks a rule of ours that the broker let pass.
	HeaderDLQCut    = PrefixDLQ + "cut"
	HeaderDLQSize   = PrefixDLQ + "size"
	HeaderDLQDigest = PrefixDLQ + "digest"
)

func deadHeaders() []Header {
	h := func(name, meaning, example string) Header {
		return Header{Name: name, Meaning: meaning, Example: example, SetBy: ByMesh, Required: true}
	}
	cut := func(name, meaning, pattern, example string) Header {
		return Header{Name: name, Meaning: meaning, Pattern: pattern, Example: example, SetBy: ByMesh}
	}
	return []Header{
		h(HeaderDLQReason, "Why it was parked, in lower snake case.", "decode"),
		h(HeaderDLQError, "The last error, at most 1 KiB.", "the message is not an OTLP request"),
		h(HeaderDLQAttempts, "How often it was tried.", "1"),
		h(HeaderDLQTopic, "Where it came from.", Inbox),
		h(HeaderDLQGroup, "Who could not handle it.", GroupIngest),
		h(HeaderDLQLane, "Its place there: partition, shard or queue.", ""),
		h(HeaderDLQPosition, "Its place there: offset, sequence or entry id.", "4711"),
		h(HeaderDLQFirstSeen, "Its own time, RFC 3339.", "2026-11-21T10:00:00Z"),
		h(HeaderDLQDeadAt, "When it was parked, RFC 3339.", "2026-11-21T10:00:01Z"),
		h(HeaderDLQWorker, "By which worker.", "ingest-worker"),
		cut(HeaderDLQCut, "What of it is not whole, because the broker does not take all of it back: it cannot be published again. Absent when it is whole.",
			`^(id|headers|key|value)(,(id|headers|key|value))*$`, "value"),
		cut(HeaderDLQSize, "Where something was cut: bytes of the whole value.", patternNumber, "1048501"),
		cut(HeaderDLQDigest, "Where something was cut: digest of the whole value.", `^sha256:[0-9a-f]{64}$`,
			"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
	}
}
