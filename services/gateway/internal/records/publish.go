package records

import (
	"context"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/record"
	"github.com/driftmesh/driftmesh/services/gateway/internal/door"
)

// retryLater is the hint to callers while the broker is away.
const retryLater = 2 * time.Second

// publish makes the good records of a batch durable. Records that the broker
// refuses for good join the rejected ones. With an error the caller may send
// the whole batch again.
func (s *Service) publish(ctx context.Context, whose from, v *record.Verdict) (accepted int, err error) {
	chunks, err := record.Cut(v.Good, record.MessageBytes)
	if err != nil {
		return 0, err
	}
	load := door.Load{
		Tenant: whose.caller.Tenant, Sender: whose.caller.Principal(), Owner: whose.owner, Bytes: whose.bytes, Time: s.now(), Parcels: make([]door.Parcel, len(chunks)),
		Refused: func(i int) { refuseAll(v, chunks[i]) },
		Rejected: func(yield func(string, int) bool) {
			for reason, n := range v.Rejected.ByReason {
				if !yield(reason, int(n)) {
					return
				}
			}
		},
	}
	for i, c := range chunks {
		load.Parcels[i] = door.Parcel{Value: c.Value, Count: c.End - c.Start}
	}
	if accepted, err = s.intake.Take(ctx, &load); err != nil {
		return accepted, fault.Unavailable.Wrap(err, "the records could not be made durable now").
			WithReason("BROKER_UNAVAILABLE").WithRetryAfter(retryLater)
	}
	return accepted, nil
}

func refuseAll(v *record.Verdict, c record.Chunk) {
	for i := c.Start; i < c.End; i++ {
		v.Rejected.RefuseTooLarge(v.Index[i], v.Good[i])
	}
}
