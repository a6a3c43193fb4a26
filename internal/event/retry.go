package event

import (
	"slices"
	"strings"
)

// retrySuffix makes the name of a topic that of its retry topic.
const retrySuffix = ".retry"

// Retry is the retry topic of a topic: where its messages wait that can be
// handled only when a neighbour is back, so that those behind them need not. See
// ADR 17.
func Retry(topic string) string { return topic + retrySuffix }

// IsRetry reports whether messages wait in a topic for a neighbour.
func IsRetry(topic string) bool { return strings.HasSuffix(topic, retrySuffix) }

// RetryOf is the topic whose messages wait in a retry topic, and any other topic
// itself.
func RetryOf(topic string) string { return strings.TrimSuffix(topic, retrySuffix) }

// HeaderWaiting is on a message of a retry topic alone.
const HeaderWaiting = "driftmesh-waiting" // when it was put there, Unix nanoseconds

// Waiting is the retry topic of t, if it has one: ok is false otherwise.
func (t Topic) Waiting() (r Topic, ok bool) {
	if !t.Retried {
		return Topic{}, false
	}
	r = Topic{
		Name: Retry(t.Name),
		Carries: "Messages of the topic " + t.Name + " that wait until a service that must be asked about them is back, as they were. " +
			"One that cannot be handled is parked in " + DLQ(t.Name) + ".",
		Values:  slices.Clone(t.Values),
		Headers: slices.DeleteFunc(slices.Clone(t.Headers), func(h Header) bool { return h.Name == HeaderBrokerUser }),
		Groups:  slices.Clone(t.Groups),
		Key:     t.Key,
		Writers: "the group of " + t.Name,
		Limits:  []string{"A message may be 4 KiB larger than those of " + t.Name + "."},
	}
	if t.Open {
		r.Headers = append(r.Headers, tenantHeader(false))
	}
	r.Headers = append(r.Headers, Header{
		Name: HeaderWaiting, Meaning: "When it was put there, the last time, Unix nanoseconds.", Pattern: patternNumber,
		Example: "1795255200000000000", SetBy: ByMesh, Required: true,
	})
	return r, true
}
