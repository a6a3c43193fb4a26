package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// maxTraces bounds the traces that an event carries.
const maxTraces = 16

// Conclusion is what an evaluation came to.
type Conclusion struct {
	Profile *Registered
	// At orders evaluations of one Trigger: the slot, or the end of the range.
	At      time.Time
	Trigger string
	// Start and End are the range of event time.
	Start, End time.Time
	// Reports of the features to judge.
	Reports []score.Report
	// Now and Repeat are for alert.Decide.
	Now    time.Time
	Repeat time.Duration
	// Slot is the slot of the schedule that this concludes, and Next the one
	// after it; nil when it was no slot.
	Slot *Slot
	Next time.Time
}

// Conclude records the verdicts, brings the alerts up to date, puts what must be
// told into the outbox and moves the schedule on: all of it or nothing. Called
// again for the same slot it changes nothing more. It is fault.Precondition when
// the slot is in other hands by now, who will conclude it.
func (s *State) Conclude(ctx context.Context, c Conclusion) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		before, open, err := loadBefore(ctx, tx, c.Profile.UID, c.Trigger)
		if err != nil {
			return err
		}
		for i := range c.Reports {
			if err := c.judge(ctx, tx, &c.Reports[i], before, open); err != nil {
				return err
			}
		}
		if c.Slot == nil {
			return nil
		}
		return c.Slot.finish(ctx, tx, c.Next)
	})
	if err != nil {
		return fmt.Errorf("conclude evaluation: %w", err)
	}
	return nil
}

// key names what a verdict is about, within a profile.
type key struct{ feature, detector string }

func loadBefore(ctx context.Context, tx *sqlstate.Tx, profile, trigger string) (map[key]alert.Before, map[key]*alert.Alert, error) {
	before, open := map[key]alert.Before{}, map[key]*alert.Alert{}
	_, err := sqlstate.All(ctx, tx, func(rows *sql.Rows) (none struct{}, err error) {
		var k key
		var b alert.Before
		var slot int64
		err = rows.Scan(&k.feature, &k.detector, &slot, &b.Verdict)
		b.Slot = sqlstate.Time(slot)
		before[k] = b
		return none, err
	}, `SELECT feature, detector, slot, verdict FROM verdicts WHERE profile = ? AND kind = ?`, profile, trigger)
	if err != nil {
		return nil, nil, err
	}
	alerts, err := sqlstate.All(ctx, tx, scanAlert, selectAlerts+` WHERE profile = ? AND kind = ? AND resolved = 0`, profile, trigger)
	for _, a := range alerts {
		open[key{a.Feature, a.Detector}] = a
	}
	return before, open, err
}

func (c *Conclusion) judge(ctx context.Context, tx *sqlstate.Tx, r *score.Report, before map[key]alert.Before, open map[key]*alert.Alert) error {
	k := key{r.Feature, r.Detector}
	b, a := before[k], open[k]
	if a != nil {
		b.Open, b.Notified = true, a.Notified
	}
	d := alert.Decide(b, c.At, r.Verdict, c.Now, c.Repeat)
	if !d.Counts {
		return nil
	}
	if _, err := tx.Exec(ctx, `INSERT INTO verdicts (profile, feature, detector, kind, slot, verdict) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (profile, feature, detector, kind) DO UPDATE SET slot = excluded.slot, verdict = excluded.verdict`,
		c.Profile.UID, r.Feature, r.Detector, c.Trigger, micros(c.At), string(r.Verdict)); err != nil {
		return err
	}
	if d.Change == alert.None {
		return nil
	}
	a, err := c.change(ctx, tx, d, a, r)
	if err != nil || !d.Tell {
		return err
	}
	return tell(ctx, tx, c.Profile.Title(), a, d.Change, c.Now, c.At, r)
}

// change writes the alert as the decision has it and returns it.
func (c *Conclusion) change(ctx context.Context, tx *sqlstate.Tx, d alert.Decision, a *alert.Alert, r *score.Report) (*alert.Alert, error) {
	if d.Change == alert.Resolved {
		a.Resolved = c.Now
		_, err := tx.Exec(ctx, `UPDATE alerts SET resolved = ? WHERE id = ?`, micros(c.Now), a.ID)
		return a, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode score: %w", err)
	}
	if d.Change == alert.Raised {
		return c.raise(ctx, tx, r, text)
	}
	if d.Tell {
		a.Notified = c.Now
	}
	a.Occurrences++
	a.Repeated, a.Score, a.RangeStart, a.RangeEnd = c.Now, *r, c.Start, c.End
	_, err = tx.Exec(ctx, `UPDATE alerts SET repeated = ?, notified = ?, occurrences = ?, range_start = ?, range_end = ?, score = ? WHERE id = ?`,
		micros(a.Repeated), micros(a.Notified), a.Occurrences, micros(a.RangeStart), micros(a.RangeEnd), string(text), a.ID)
	return a, err
}

func (c *Conclusion) raise(ctx context.Context, tx *sqlstate.Tx, r *score.Report, text []byte) (*alert.Alert, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make alert id: %w", err)
	}
	a := &alert.Alert{
		ID: id.String(), Tenant: c.Profile.Tenant, Profile: c.Profile.UID, Feature: r.Feature, Detector: r.Detector,
		Raised: c.Now, Notified: c.Now, Occurrences: 1, RangeStart: c.Start, RangeEnd: c.End, Score: *r,
	}
	_, err = tx.Exec(ctx, `INSERT INTO alerts (id, tenant, profile, feature, detector, kind, raised, repeated, resolved, acknowledged, acknowledged_by,
		notified, occurrences, range_start, range_end, score) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, '', ?, 1, ?, ?, ?)`,
		a.ID, a.Tenant, a.Profile, a.Feature, a.Detector, c.Trigger, micros(a.Raised), micros(a.Notified), micros(a.RangeStart), micros(a.RangeEnd), string(text))
	return a, err
}

// events is the namespace of event ids.
var events = uuid.MustParse("7d6a35c7-5f0e-4c52-9e6b-3a1f8f0f5b21")

// tell puts the news of a change into the outbox. at tells one repetition from
// the next, so that news have one id however often they are told.
func tell(ctx context.Context, tx *sqlstate.Tx, title string, a *alert.Alert, change alert.Change, now, at time.Time, r *score.Report) error {
	e := alert.Event{
		ID:     uuid.NewSHA1(events, fmt.Appendf(nil, "%s %s %d", a.ID, change, micros(at))).String(),
		Tenant: a.Tenant, AlertID: a.ID, Change: change, Time: now, Profile: a.Profile, Title: title,
		Feature: r.Feature, Detector: r.Detector, Value: r.Value, Threshold: r.Threshold, Sample: r.Sample,
		RangeStart: a.RangeStart, RangeEnd: a.RangeEnd, Traces: r.Traces(maxTraces),
	}
	if change == alert.Resolved {
		e.Traces = nil
	}
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO outbox (id, tenant, created, event) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		e.ID, e.Tenant, micros(now), string(text))
	return err
}

// Acknowledge says that somebody takes the tenant's alert on, and gives it. The
// first one counts. It is fault.NotFound when there is no such alert.
func (s *State) Acknowledge(ctx context.Context, tenant, id, by string, now time.Time) (a *alert.Alert, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		found, err := sqlstate.All(ctx, tx, scanAlert, selectAlerts+` WHERE tenant = ? AND id = ?`, tenant, id)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fault.NotFound.New("there is no alert %.100q", id).WithReason("ALERT_NOT_FOUND")
		}
		if a = found[0]; !a.Acknowledged.IsZero() {
			return nil
		}
		a.Acknowledged, a.AcknowledgedBy = now.Truncate(time.Microsecond).UTC(), by
		if _, err := tx.Exec(ctx, `UPDATE alerts SET acknowledged = ?, acknowledged_by = ? WHERE id = ?`, micros(now), by, id); err != nil {
			return err
		}
		p, err := one(ctx, tx, `tenant = ? AND uid = ?`, tenant, a.Profile)
		if err != nil {
			return err
		}
		return tell(ctx, tx, p.Title(), a, alert.Acknowledged, now, now, &a.Score)
	})
	if err != nil && !errors.Is(err, fault.NotFound) {
		err = fmt.Errorf("acknowledge alert: %w", err)
	}
	return a, err
}
