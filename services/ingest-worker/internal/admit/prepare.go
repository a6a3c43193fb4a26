package admit

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
)

// maxWait is how long a message may have lain on the inbox. A time further back
// is not the broker's.
const maxWait = 7 * 24 * time.Hour

// maxAhead is how much clocks may differ.
const maxAhead = time.Minute

// Prepare takes from a delivery what only the mesh may say, and a time that
// cannot be when it came in: what stands in the store under a time of its
// sender's choice would live as long as that one likes. That it was here before,
// and under which id, is believed of a message with a good seal, and of one in the
// retry topic: who forged it there would still have to prove who they are, and the
// id means nothing outside their tenant.
//
// A broker that has no places leaves a message without an id nameless: it gets
// an id, another one whenever it comes, because to store data twice is better
// than to take two alike for one.
func (s *Sealer) Prepare(now time.Time, d *broker.Delivery) {
	if d.Time.Before(now.Add(-maxWait)) || d.Time.After(now.Add(maxAhead)) {
		d.Time = now
	}
	if d.ID == "" && d.Position == "" {
		d.ID = uuid.NewString()
	}
	if !slices.ContainsFunc(d.Headers, foreign) {
		return
	}
	_, ours := s.Sender(&d.Message)
	ours = ours || event.IsRetry(d.Topic)
	kept := make([]broker.Header, 0, len(d.Headers))
	for _, h := range d.Headers {
		if !foreign(h) || ours && again(h) {
			kept = append(kept, h)
		}
	}
	d.Headers = kept
}

func foreign(h broker.Header) bool {
	switch h.Key {
	case event.HeaderTenant, event.HeaderSeq, event.HeaderCount, event.HeaderTime:
		return true
	}
	return again(h)
}

// again reports whether a header is one of messages that were here before.
func again(h broker.Header) bool {
	return h.Key == event.HeaderOrigin || h.Key == event.HeaderRedriven || h.Key == event.HeaderSender
}
