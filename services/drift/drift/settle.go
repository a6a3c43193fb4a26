package drift

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

const (
	// maxSettle bounds how long a call waits.
	maxSettle = 5 * time.Minute
	// settleEvery is how often it looks.
	settleEvery = 50 * time.Millisecond
)

// lags tells how far a group is behind; broker.Admin does.
type lags interface {
	Lag(ctx context.Context, topic, group string) (broker.Lag, error)
}

// way is a topic that is on the way from the door to the cells, and who reads it.
type way struct{ topic, group string }

// wayOf is the way of a profile's observations, in order.
func wayOf(p *profile.Profile) []way {
	first := way{event.Records, event.GroupIngest}
	if p.Source != nil && p.Source.Of == profile.Spans {
		first = way{event.Spans, event.GroupTraceStore}
	}
	return []way{first, {event.Windows, event.GroupDrift}}
}

// settle waits as a request wants, and tells of what is not counted all the same.
// The caller need not be one who may see topics.
func (s *server) settle(stream grpc.ServerStreamingServer[driftv1.EvaluateRangeResponse], req *driftv1.EvaluateRangeRequest) error {
	most := req.GetWait().AsDuration()
	if most < 0 || most > maxSettle {
		return fault.Invalid.New("a wait of %s is not between 0 and %s", most, maxSettle).WithReason("INVALID_WAIT")
	}
	if most == 0 {
		return nil
	}
	ctx := stream.Context()
	p, err := s.find(ctx, req.GetProfile())
	if err != nil {
		return err
	}
	behind, err := settle(ctx, s.topics, wayOf(p.Registered.Profile), most)
	if err != nil || behind == "" {
		return err
	}
	return stream.Send(&driftv1.EvaluateRangeResponse{Answer: &driftv1.EvaluateRangeResponse_Behind{Behind: behind}})
}

// settle waits until what was in the topics when it was called has been handled, in
// one after the other: what is handled in one is in the next. It gives the topic that
// took too long. Where a broker cannot tell nobody waits.
func settle(ctx context.Context, topics lags, on []way, most time.Duration) (behind string, err error) {
	limited, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for _, w := range on {
		for began := time.Now(); ; {
			// As of the question: an answer that takes longer than a message was there
			// before it would make that one too young to wait for.
			age := time.Since(began)
			lag, err := topics.Lag(limited, w.topic, w.group)
			if limited.Err() == nil && (err != nil || !lag.Known) || err == nil && (lag.Total() == 0 || lag.Oldest > 0 && lag.Oldest < age) {
				break
			}
			select {
			case <-limited.Done():
				return w.topic, ctx.Err()
			case <-time.After(settleEvery):
			}
		}
	}
	return "", nil
}
