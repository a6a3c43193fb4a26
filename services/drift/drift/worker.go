package drift

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/notify"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// maxMinutes bounds the windows that one message may touch.
const maxMinutes = 100_000

// onWindows implements runner.Handler for the topic windows: what was touched is
// written down before it is acknowledged.
func (e *engine) onWindows(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
	verdicts := make([]runner.Verdict, len(ds))
	type window struct {
		profileKey
		minute int64
	}
	touched := map[window]bool{}
	var arrivals []store.Arrival
	for i := range ds {
		key, minutes, err := e.touchedBy(ctx, &ds[i])
		if err != nil {
			if fault.KindOf(err).Retryable() {
				return nil, err
			}
			verdicts[i] = runner.FromError(err)
			continue
		}
		if stamp := envelope.Of(&ds[i].Message); len(minutes) > 0 && !stamp.Accepted.IsZero() {
			arrivals = append(arrivals, store.Arrival{Tenant: key.tenant, Profile: key.uid, At: earlier(stamp.Accepted, e.now())})
		}
		for _, minute := range minutes {
			touched[window{key, minute}] = true
		}
	}
	if len(touched) == 0 {
		return verdicts, nil
	}
	touches := make([]store.Touch, 0, len(touched))
	for w := range touched {
		touches = append(touches, store.Touch{Tenant: w.tenant, Profile: w.uid, Minute: w.minute})
	}
	ctx, end := runner.Step(ctx, "store windows")
	err := e.state.Touch(ctx, touches, e.now(), e.cfg.Refresh)
	if err == nil {
		err = e.state.Came(ctx, arrivals)
	}
	end(err)
	return verdicts, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// touchedBy reads one message of the topic windows.
func (e *engine) touchedBy(ctx context.Context, d *broker.Delivery) (key profileKey, minutes []int64, err error) {
	stamp := envelope.Of(&d.Message)
	if stamp.Tenant == "" || stamp.Type != event.TypeWindows {
		return key, nil, fault.Invalid.New("a message of type %q of tenant %q is none of windows", stamp.Type, stamp.Tenant)
	}
	var m eventv1.WindowsTouched
	if err := proto.Unmarshal(d.Value, &m); err != nil {
		return key, nil, fault.Invalid.Wrap(err, "the message cannot be decoded")
	}
	if len(m.GetMinutes()) > maxMinutes {
		return key, nil, fault.Invalid.New("the message names %d windows, more than %d", len(m.GetMinutes()), maxMinutes)
	}
	for _, minute := range m.GetMinutes() {
		// What ClickHouse's DateTime can hold.
		if minute < 0 || minute > (1<<32-1)/60 {
			return key, nil, fault.Invalid.New("window %d is not between 1970 and 2106", minute)
		}
	}
	p, err := e.profiles.get(ctx, stamp.Tenant, m.GetProfile())
	if err != nil {
		return key, nil, err
	}
	return profileKey{p.Tenant, p.UID}, m.GetMinutes(), nil
}

// outboxAtOnce is how many events are published at a time.
const outboxAtOnce = 100

// publisher carries events from the outbox to the topic alerts.
type publisher struct {
	state *store.State
	to    broker.Publisher
}

// publish publishes until the outbox is empty. An event may be published twice,
// after a crash or by two workers; its id is the same then.
func (p *publisher) publish(ctx context.Context) error {
	for {
		events, err := p.state.Outbox(ctx, outboxAtOnce)
		if err != nil || len(events) == 0 {
			return err
		}
		messages := make([]broker.Message, len(events))
		for i, e := range events {
			value, err := proto.Marshal(eventMessage(e))
			if err != nil {
				return fmt.Errorf("encode event: %w", err)
			}
			messages[i] = envelope.New(event.Alerts, envelope.Stamp{Tenant: e.Tenant, Type: event.TypeAlert, Count: 1, Accepted: e.Time}, value)
			messages[i].ID, messages[i].Key = e.ID, []byte(e.AlertID)
		}
		if err := p.to.Publish(ctx, messages); err != nil {
			return fmt.Errorf("publish alerts: %w", err)
		}
		if err := p.state.Published(ctx, events); err != nil {
			return fmt.Errorf("empty outbox: %w", err)
		}
	}
}

// changes are the words for changes on the wire.
var changes = map[alert.Change]eventv1.AlertChange{
	alert.Raised:       eventv1.AlertChange_ALERT_CHANGE_RAISED,
	alert.Grew:         eventv1.AlertChange_ALERT_CHANGE_GREW,
	alert.Repeated:     eventv1.AlertChange_ALERT_CHANGE_REPEATED,
	alert.Resolved:     eventv1.AlertChange_ALERT_CHANGE_RESOLVED,
	alert.Acknowledged: eventv1.AlertChange_ALERT_CHANGE_ACKNOWLEDGED,
}

func eventMessage(e *alert.Event) *eventv1.AlertEvent {
	m := &eventv1.AlertEvent{
		AlertId: e.AlertID, Change: changes[e.Change], Time: timestamppb.New(e.Time), Profile: e.Profile, ProfileName: e.Title,
		Monitor: e.Monitor, Detector: e.Detector, Severity: string(e.Severity), Routes: e.Routes, ResolveReason: e.Reason, Late: e.Late, Finding: e.Finding,
		MovedCount: uint32(max(e.Count, 0)), //nolint:gosec // features
		RangeStart: timestamppb.New(e.RangeStart), RangeEnd: timestamppb.New(e.RangeEnd), ExemplarTraceIds: e.Traces,
		Sequence: e.Sequence, AcknowledgedBy: e.By, RaiseTime: optional(e.Raised),
	}
	for i, moved := range e.Moved {
		f := &eventv1.MovedFeature{
			Feature: moved.Feature, Value: moved.Value, Threshold: math.Inf(1), Sample: moved.Sample, Reference: moved.Reference,
			AdjustedPValue: moved.Adjusted, FalseAlarmRate: moved.Rate, Bins: shareMessages(moved.Bins), States: shareMessages(moved.States),
		}
		if moved.Threshold != nil {
			f.Threshold = *moved.Threshold
		}
		if i == 0 {
			m.Feature, m.Value, m.Threshold, m.Sample = f.GetFeature(), f.GetValue(), f.GetThreshold(), f.GetSample()
		}
		m.Moved = append(m.Moved, f)
	}
	return m
}

func shareMessages(shares []alert.Share) []*eventv1.BinShare {
	var out []*eventv1.BinShare
	for _, s := range shares {
		out = append(out, &eventv1.BinShare{Label: s.Label, Expected: s.Expected, Observed: s.Observed})
	}
	return out
}

func sharesOf(messages []*eventv1.BinShare) []alert.Share {
	var out []alert.Share
	for _, m := range messages {
		out = append(out, alert.Share{Label: m.GetLabel(), Expected: m.GetExpected(), Observed: m.GetObserved()})
	}
	return out
}

func eventOf(tenant, id string, m *eventv1.AlertEvent) (*alert.Event, error) {
	e := &alert.Event{
		ID: id, Tenant: tenant, AlertID: m.GetAlertId(), Time: m.GetTime().AsTime(), Profile: m.GetProfile(), Title: m.GetProfileName(),
		Monitor: cmp.Or(m.GetMonitor(), m.GetDetector()), Detector: m.GetDetector(), Severity: profile.Severity(m.GetSeverity()),
		Routes: m.GetRoutes(), Reason: m.GetResolveReason(), Late: m.GetLate(), Finding: m.GetFinding(), Count: int(m.GetMovedCount()),
		RangeStart: m.GetRangeStart().AsTime(), RangeEnd: m.GetRangeEnd().AsTime(), Traces: m.GetExemplarTraceIds(),
		Sequence: m.GetSequence(), By: m.GetAcknowledgedBy(), Raised: m.GetTime().AsTime(),
	}
	if m.GetRaiseTime() != nil {
		e.Raised = m.GetRaiseTime().AsTime()
	}
	moved := m.GetMoved()
	if m.GetMonitor() == "" { // of a release before there were monitors: of one feature
		moved = []*eventv1.MovedFeature{{Feature: m.GetFeature(), Value: m.GetValue(), Threshold: m.GetThreshold(), Sample: m.GetSample()}}
		e.Count = 1
	}
	for _, f := range moved {
		one := alert.Moved{
			Feature: f.GetFeature(), Value: f.GetValue(), Sample: f.GetSample(), Reference: f.GetReference(), Adjusted: f.AdjustedPValue,
			Rate: f.FalseAlarmRate, Bins: sharesOf(f.GetBins()), States: sharesOf(f.GetStates()),
		}
		if t := f.GetThreshold(); !math.IsInf(t, 0) && !math.IsNaN(t) {
			one.Threshold = &t
		}
		e.Moved = append(e.Moved, one)
	}
	for change, number := range changes {
		if number == m.GetChange() {
			e.Change = change
		}
	}
	if e.Change == alert.None || e.ID == "" || e.AlertID == "" {
		return nil, fault.Invalid.New("the event has no id, no alert or no known change")
	}
	return e, nil
}

// dispatch handles the topic alerts.
type dispatch struct {
	dispatcher notify.Dispatcher
	metrics    *metrics
	now        func() time.Time
}

// onAlerts implements runner.Handler.
func (n *dispatch) onAlerts(ctx context.Context, ds []broker.Delivery) ([]runner.Verdict, error) {
	verdicts := make([]runner.Verdict, len(ds))
	for i := range ds {
		if err := n.one(ctx, &ds[i]); err != nil {
			verdicts[i] = runner.FromError(err)
		}
	}
	return verdicts, nil
}

func (n *dispatch) one(ctx context.Context, d *broker.Delivery) error {
	stamp := envelope.Of(&d.Message)
	var m eventv1.AlertEvent
	if stamp.Tenant == "" || stamp.Type != event.TypeAlert {
		return fault.Invalid.New("a message of type %q of tenant %q is no alert event", stamp.Type, stamp.Tenant)
	}
	if err := proto.Unmarshal(d.Value, &m); err != nil {
		return fault.Invalid.Wrap(err, "the message cannot be decoded")
	}
	e, err := eventOf(stamp.Tenant, d.ID, &m)
	if err != nil {
		return err
	}
	ctx, end := runner.Step(ctx, "dispatch alert")
	err = n.dispatcher.Dispatch(ctx, e, n.now())
	end(err)
	if err == nil {
		n.metrics.notifications.WithLabelValues(string(e.Change)).Inc()
	}
	return err
}
