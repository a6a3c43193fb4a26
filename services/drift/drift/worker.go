package drift

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
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
	touched := map[store.Touch]bool{}
	var arrivals []store.Arrival
	for i := range ds {
		touches, err := e.touchedBy(ctx, &ds[i])
		if err != nil {
			if fault.KindOf(err).Retryable() {
				return nil, err
			}
			verdicts[i] = runner.FromError(err)
			continue
		}
		arrived := envelope.Of(&ds[i].Message).Accepted
		if envelope.Of(&ds[i].Message).Type == event.TypeSpanTimes {
			arrived = time.Time{} // of any spans of the service: see spansCame
		}
		for k, t := range touches {
			touched[t] = true
			if !arrived.IsZero() && (k == 0 || touches[k-1].Profile != t.Profile) {
				arrivals = append(arrivals, store.Arrival{Tenant: t.Tenant, Profile: t.Profile, At: earlier(arrived, e.now())})
			}
		}
	}
	if len(touched) == 0 {
		return verdicts, nil
	}
	touches := slices.Collect(maps.Keys(touched))
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
func (e *engine) touchedBy(ctx context.Context, d *broker.Delivery) ([]store.Touch, error) {
	stamp := envelope.Of(&d.Message)
	var windows eventv1.WindowsTouched
	var spans eventv1.SpansTouched
	var err error
	switch {
	case stamp.Tenant == "":
		return nil, fault.Invalid.New("a message of type %q has no tenant", stamp.Type)
	case stamp.Type == event.TypeWindows:
		err = proto.Unmarshal(d.Value, &windows)
	case stamp.Type == event.TypeSpanTimes:
		err = proto.Unmarshal(d.Value, &spans)
	default:
		return nil, fault.Invalid.New("a message of type %q of tenant %q is none of windows", stamp.Type, stamp.Tenant)
	}
	if err != nil {
		return nil, fault.Invalid.Wrap(err, "the message cannot be decoded")
	}
	if stamp.Type == event.TypeSpanTimes {
		return e.touchedBySpans(ctx, stamp.Tenant, spans.GetServices())
	}
	if err := checkMinutes(windows.GetMinutes()); err != nil {
		return nil, err
	}
	p, err := e.profiles.get(ctx, stamp.Tenant, windows.GetProfile())
	if err != nil {
		return nil, err
	}
	return touchesOf(p.Tenant, p.UID, windows.GetMinutes()), nil
}

// touchedBySpans are the windows of profiles that have observations made of the
// spans of a service; mostly there are none.
func (e *engine) touchedBySpans(ctx context.Context, tenant string, services []*eventv1.ServiceMinutes) (touches []store.Touch, err error) {
	for _, s := range services {
		if err := checkMinutes(s.GetMinutes()); err != nil {
			return nil, err
		}
		profiles, err := e.sources.of(ctx, tenant, s.GetService())
		if err != nil {
			return nil, err
		}
		for _, uid := range profiles {
			touches = append(touches, touchesOf(tenant, uid, s.GetMinutes())...)
		}
	}
	return touches, nil
}

func checkMinutes(minutes []int64) error {
	if len(minutes) > maxMinutes {
		return fault.Invalid.New("the message names %d windows, more than %d", len(minutes), maxMinutes)
	}
	for _, minute := range minutes {
		// What ClickHouse's DateTime can hold.
		if minute < 0 || minute > (1<<32-1)/60 {
			return fault.Invalid.New("window %d is not between 1970 and 2106", minute)
		}
	}
	return nil
}

func touchesOf(tenant, uid string, minutes []int64) []store.Touch {
	touches := make([]store.Touch, len(minutes))
	for i, minute := range minutes {
		touches[i] = store.Touch{Tenant: tenant, Profile: uid, Minute: minute}
	}
	return touches
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
