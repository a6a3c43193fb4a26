package tracestore

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
)

// announcer says on the topic windows which minutes of which services have new
// spans, for those who make observations of them.
type announcer struct{ publisher broker.Publisher }

// maxMinutes bounds one announcement; a minute takes at most five bytes.
const maxMinutes = 50_000

func (a announcer) announce(ctx context.Context, touched []store.Touch) error {
	var msgs []broker.Message
	for len(touched) > 0 { // those of one tenant come together
		var value eventv1.SpansTouched
		tenant, minutes := touched[0].Tenant, 0
		for len(touched) > 0 && touched[0].Tenant == tenant && minutes < maxMinutes {
			t := &touched[0]
			n := min(len(t.Minutes), maxMinutes-minutes)
			value.Services = append(value.Services, &eventv1.ServiceMinutes{Service: t.Service, Minutes: t.Minutes[:n]})
			minutes += n
			if t.Minutes = t.Minutes[n:]; len(t.Minutes) == 0 {
				touched = touched[1:]
			}
		}
		body, err := proto.Marshal(&value)
		if err != nil {
			return fmt.Errorf("encode times of spans: %w", err)
		}
		m := envelope.New(event.Windows, envelope.Stamp{
			Tenant: tenant, Type: event.TypeSpanTimes, Count: minutes, Accepted: time.Now(),
		}, body)
		m.Key = []byte(tenant)
		msgs = append(msgs, m)
	}
	if len(msgs) == 0 {
		return nil
	}
	ctx, end := runner.Step(ctx, "announce spans")
	err := a.publisher.Publish(ctx, msgs)
	end(err)
	if err != nil {
		return fmt.Errorf("announce spans: %w", err)
	}
	return nil
}
