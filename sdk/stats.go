package sdk

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Why items were dropped: the reasons in Counts.Dropped and LossError.
const (
	// DroppedFull is that the queue had no room. Only spans are dropped for it: a
	// record waits for room, or its sender hears of it.
	DroppedFull = "queue_full"
	// DroppedTooLarge is that one item alone was larger than the transport carries.
	DroppedTooLarge = "too_large"
	// DroppedRefused is that the mesh will not have the whole batch in this way: no
	// access, or not readable.
	DroppedRefused = "refused"
	// DroppedFailed is that another exporter gave up.
	DroppedFailed = "failed"
	// DroppedShutdown is that the client was shut down before they could leave.
	DroppedShutdown = "shutdown"
)

// Stats counts what a client has done so far.
type Stats struct {
	Records Counts
	Spans   Counts // on their way to the mesh
	// Exporters counts the spans of each further exporter, by its name.
	Exporters map[string]Counts
}

// Counts counts the records or spans that go to one place.
type Counts struct {
	Queued      int    // waiting, and on their way without an answer
	QueuedBytes int    // memory of records that are queued
	Accepted    uint64 // durable
	Rejected    uint64 // refused, one by one
	// Dropped are those given up, by reason.
	Dropped map[string]uint64
	Retries uint64 // batches sent again
}

// Lost is how many did not arrive for good.
func (c Counts) Lost() uint64 {
	n := c.Rejected
	for _, d := range c.Dropped {
		n += d
	}
	return n
}

// tally keeps the account of a lane. The lane guards it.
type tally struct {
	signal   string
	place    string
	accepted uint64
	rejected uint64
	dropped  map[string]uint64
	retries  uint64
	reason   string // why the mesh rejected, last
	cause    error  // why items were dropped, last

	rejections RejectedError // since last asked
	unsent     UnsentError
}

func (t *tally) take(items int, a Answer) {
	refused := min(a.Rejected, uint64(items))
	t.accepted += uint64(items) - refused
	t.rejected += refused
	if refused > 0 {
		t.rejections.add(refused, a.Rejections)
		if len(a.Rejections) > 0 {
			t.reason = a.Rejections[0].String()
		}
	}
}

func (t *tally) lose(reason string, items int, cause error) {
	if t.dropped == nil {
		t.dropped = map[string]uint64{}
	}
	t.dropped[reason] += uint64(items)
	t.unsent.Count += uint64(items)
	if cause != nil {
		t.unsent.Cause, t.cause = cause, cause
	}
}

// since is what went wrong since it was last asked.
func (t *tally) since() error {
	rejected, unsent := t.rejections, t.unsent
	t.rejections, t.unsent = RejectedError{}, UnsentError{}
	rejected.Signal, unsent.Signal = t.signal, t.signal
	switch {
	case unsent.Count > 0:
		return &unsent
	case rejected.Count > 0:
		return &rejected
	}
	return nil
}

func (t *tally) counts() Counts {
	return Counts{Accepted: t.accepted, Rejected: t.rejected, Dropped: maps.Clone(t.dropped), Retries: t.retries}
}

// loss is all that was lost; nil for nothing.
func (t *tally) loss() *Loss {
	l := Loss{Signal: t.signal, Place: t.place, By: maps.Clone(t.dropped), Cause: t.cause}
	if t.rejected > 0 {
		if l.By == nil {
			l.By = map[string]uint64{}
		}
		l.By[lossRejected] = t.rejected
		l.Reason = t.reason
	}
	for _, n := range l.By {
		l.Count += n
	}
	if l.Count == 0 {
		return nil
	}
	return &l
}

// lossRejected stands among the reasons for what the mesh refused one by one.
const lossRejected = "rejected"

// Loss is what did not arrive at one place.
type Loss struct {
	Signal string            // "spans" or "records"
	Place  string            // "mesh", or the name of another exporter
	Count  uint64            // all of By
	By     map[string]uint64 // by reason, see Counts.Dropped; "rejected" is what the mesh refused one by one
	Reason string            // for which the mesh rejected the last, if it said so
	Cause  error             // for which the last were dropped, if there is one
}

func (l Loss) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s to %s (", l.Count, l.Signal, l.Place)
	for i, reason := range slices.Sorted(maps.Keys(l.By)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", reason, l.By[reason])
	}
	b.WriteString(")")
	if l.Reason != "" {
		fmt.Fprintf(&b, ": %s", l.Reason)
	}
	if l.Cause != nil {
		fmt.Fprintf(&b, ": %v", l.Cause)
	}
	return b.String()
}

// LossError says what a client has lost in its life. It wraps the causes.
type LossError struct{ Losses []Loss }

// Error names every loss with its reasons.
func (e *LossError) Error() string {
	parts := make([]string, len(e.Losses))
	for i, l := range e.Losses {
		parts[i] = l.String()
	}
	return "lost " + strings.Join(parts, "; ")
}

// Unwrap gives the causes.
func (e *LossError) Unwrap() []error {
	var causes []error
	for _, l := range e.Losses {
		if l.Cause != nil {
			causes = append(causes, l.Cause)
		}
	}
	return causes
}
