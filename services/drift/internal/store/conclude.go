package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// Bounds of what an alert and its events carry.
const (
	maxTraces = 16
	maxBins   = 50 // of each feature that moved
)

// Conclusion is what an evaluation came to.
type Conclusion struct {
	Profile *Registered
	Result  *Evaluation
	// At orders evaluations of one Trigger: the slot, or the end of the range.
	At      time.Time
	Trigger string
	// Now and Repeat are for alert.Decide.
	Now    time.Time
	Repeat time.Duration
	// Slot is the slot of the schedule that this concludes, and Next the one
	// after it; nil when it was no slot.
	Slot *Slot
	Next time.Time
	// Insufficient is how many evaluations in a row with too little to judge by are
	// an alert; 0 is never.
	Insufficient int
	// Late are the minutes for which a slot is scored again; nil when it is scored
	// for the first time.
	Late *Late
}

// Conclude records the verdicts, brings the alerts up to date, puts what must be
// told into the outbox and moves the schedule on: all of it or nothing. Called
// again for the same slot it changes nothing more. It is fault.Precondition when
// the slot, or the late minutes, are in other hands by now, who will conclude it.
func (s *State) Conclude(ctx context.Context, c Conclusion) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		if c.Late != nil {
			if err := c.Late.hold(ctx, tx, c.Now); err != nil {
				return err
			}
		}
		if c.Trigger == TriggerClose || c.Late != nil {
			// Nobody holds a slot that would be lost with the profile's place.
			if active, err := isActive(ctx, tx, c.Profile.UID); err != nil || !active {
				return err
			}
		}
		standings, open, err := c.load(ctx, tx)
		if err != nil {
			return err
		}
		past, err := c.recall(ctx, tx)
		if err != nil {
			return err
		}
		for i := range c.Profile.Monitors {
			m := &c.Profile.Monitors[i]
			if err := c.judge(ctx, tx, m, past, standings[m.Name], open[m.Name]); err != nil {
				return err
			}
		}
		if err := past.keep(ctx, tx); err != nil {
			return err
		}
		if err := c.countSamples(ctx, tx); err != nil {
			return err
		}
		if c.Slot == nil {
			return nil
		}
		return c.Slot.finish(ctx, tx, c.Next, c.Now)
	})
	if err != nil {
		return fmt.Errorf("conclude evaluation: %w", err)
	}
	return nil
}

// load gives what is known of each monitor, by name, and its alert if one is open.
func (c *Conclusion) load(ctx context.Context, tx *sqlstate.Tx) (map[string]alert.Standing, map[string]*alert.Alert, error) {
	standings, open := map[string]alert.Standing{}, map[string]*alert.Alert{}
	_, err := sqlstate.All(ctx, tx, func(rows *sql.Rows) (none struct{}, err error) {
		var monitor, prior, latest string
		var slot int64
		var s alert.Standing
		if err := rows.Scan(&monitor, &slot, &prior, &latest); err != nil {
			return none, err
		}
		if err := errors.Join(json.Unmarshal([]byte(prior), &s.Prior), json.Unmarshal([]byte(latest), &s.Latest)); err != nil {
			return none, fault.Internal.Wrap(err, "stored verdicts cannot be read")
		}
		s.Slot = sqlstate.Time(slot)
		standings[monitor] = s
		return none, nil
	}, `SELECT monitor, slot, prior, latest FROM standings WHERE profile = ? AND kind = ?`, c.Profile.UID, c.Trigger)
	if err != nil {
		return nil, nil, err
	}
	alerts, err := sqlstate.All(ctx, tx, scanAlert, selectAlerts+` WHERE profile = ? AND kind = ? AND resolved = 0`, c.Profile.UID, c.Trigger)
	for _, a := range alerts {
		open[a.Monitor] = a
	}
	return standings, open, err
}

// judge takes the verdicts of one monitor in.
func (c *Conclusion) judge(ctx context.Context, tx *sqlstate.Tx, m *profile.Monitor, past *remembered, before alert.Standing, open *alert.Alert) error {
	verdicts, found := map[string]score.Verdict{}, false
	for i := range c.Result.Scores {
		if s := &c.Result.Scores[i]; s.Monitor == m.Name {
			verdicts[score.Subject(c.Profile.Profile, s.Feature)] = s.Verdict
			found = found || s.Verdict == score.Drift
		}
	}
	if len(verdicts) == 0 {
		return nil
	}
	if c.At.Before(before.Slot) {
		return c.revise(ctx, tx, m, past, before, open, verdicts)
	}
	standing, counts := before.Count(c.At, verdicts, m.Persistence)
	past.remember(m, verdicts, standing.Prior)
	if !counts {
		return nil
	}
	if err := c.keep(ctx, tx, m, standing); err != nil {
		return err
	}
	o := outcome{monitor: m, moved: standing.Moved(m.Persistence), found: found, further: c.At.After(before.Slot)}
	return c.follow(ctx, tx, o, open)
}

// revise takes in the verdicts of one monitor on a slot that is not the latest.
func (c *Conclusion) revise(ctx context.Context, tx *sqlstate.Tx, m *profile.Monitor, past *remembered, before alert.Standing, open *alert.Alert,
	verdicts map[string]score.Verdict,
) error {
	standing, missed, changed, err := past.revise(ctx, tx, m, verdicts, before)
	if err != nil || !changed {
		return err
	}
	for _, moved := range missed {
		if err := c.miss(ctx, tx, outcome{monitor: m, moved: moved, earlier: true}); err != nil {
			return err
		}
	}
	if err := c.keep(ctx, tx, m, standing); err != nil {
		return err
	}
	return c.follow(ctx, tx, outcome{monitor: m, moved: standing.Moved(m.Persistence), earlier: true}, open)
}

// follow brings the alert of a monitor up to date.
func (c *Conclusion) follow(ctx context.Context, tx *sqlstate.Tx, o outcome, open *alert.Alert) error {
	o.Decision = alert.Decide(open, o.moved, o.found, c.Now, c.Repeat)
	if o.Change == alert.None && (open == nil || !o.earlier) { // fewer may have moved than was thought
		return nil
	}
	a, err := c.change(ctx, tx, o, open)
	if err != nil || !o.Tell {
		return err
	}
	return tell(ctx, tx, c.Profile, a, o.Change, c.Now)
}

// overReason is why an alert is over that was raised late.
const overReason = "it was found late, and later evaluations are without it"

// miss raises and resolves an alert that should have been.
func (c *Conclusion) miss(ctx context.Context, tx *sqlstate.Tx, o outcome) error {
	a, err := c.raise(ctx, tx, o, overReason)
	if err != nil {
		return err
	}
	end := a.Resolved
	a.Resolved, a.Reason = time.Time{}, ""
	if err := tell(ctx, tx, c.Profile, a, alert.Raised, c.Now); err != nil {
		return err
	}
	a.Resolved, a.Reason, a.Moved = end, overReason, 0
	return tell(ctx, tx, c.Profile, a, alert.Resolved, end)
}

// outcome is what an evaluation means for one monitor.
type outcome struct {
	alert.Decision
	monitor *profile.Monitor
	moved   []string
	// found is whether it found drift, further whether its slot is one that was
	// not evaluated before, and earlier whether it is not the latest one.
	found, further, earlier bool
}

func (c *Conclusion) keep(ctx context.Context, tx *sqlstate.Tx, m *profile.Monitor, s alert.Standing) error {
	prior, bad := json.Marshal(s.Prior)
	latest, worse := json.Marshal(s.Latest)
	if err := errors.Join(bad, worse); err != nil {
		return fmt.Errorf("encode verdicts: %w", err)
	}
	_, err := tx.Exec(ctx, `INSERT INTO standings (profile, monitor, kind, slot, prior, latest) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (profile, monitor, kind) DO UPDATE SET slot = excluded.slot, prior = excluded.prior, latest = excluded.latest`,
		c.Profile.UID, m.Name, c.Trigger, micros(s.Slot), string(prior), string(latest))
	return err
}

// change writes the alert as the outcome has it and returns it.
func (c *Conclusion) change(ctx context.Context, tx *sqlstate.Tx, o outcome, a *alert.Alert) (*alert.Alert, error) {
	if o.Change == alert.Raised {
		return c.raise(ctx, tx, o, "")
	}
	if o.Change == alert.Resolved {
		// People hear how the features stand now that had moved.
		had := make([]string, len(a.Scores))
		for i := range a.Scores {
			had[i] = a.Scores[i].Feature
		}
		a.Scores, a.Moved = c.reports(o, had, nil), 0
		a.Resolved, a.RangeStart, a.RangeEnd = c.Now, c.Result.Start, c.Result.End
		_, err := tx.Exec(ctx, `UPDATE alerts SET resolved = ? WHERE id = ?`, micros(c.Now), a.ID)
		return a, err
	}
	if o.Tell {
		a.Notified = c.Now
	}
	if o.found && o.further {
		a.Occurrences++
		a.Repeated = c.Now
	}
	if o.found {
		a.RangeStart, a.RangeEnd = c.Result.Start, c.Result.End
	}
	a.Scores, a.Moved, a.Ever = c.reports(o, o.moved, a.Scores), len(o.moved), union(a.Ever, o.moved)
	scores, ever, err := encode(a)
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `UPDATE alerts SET repeated = ?, notified = ?, occurrences = ?, range_start = ?, range_end = ?, scores = ?, moved = ?, ever = ?
		WHERE id = ?`,
		micros(a.Repeated), micros(a.Notified), a.Occurrences, micros(a.RangeStart), micros(a.RangeEnd), scores, a.Moved, ever, a.ID)
	return a, err
}

// raise makes an alert, which is over already when over says why.
func (c *Conclusion) raise(ctx context.Context, tx *sqlstate.Tx, o outcome, over string) (*alert.Alert, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make alert id: %w", err)
	}
	a := &alert.Alert{
		ID: id.String(), Tenant: c.Profile.Tenant, Profile: c.Profile.UID, Monitor: o.monitor.Name, Detector: o.monitor.Detector, Trigger: c.Trigger,
		Raised: c.Now, Notified: c.Now, Occurrences: 1, RangeStart: c.Result.Start, RangeEnd: c.Result.End,
		Scores: c.reports(o, o.moved, nil), Moved: len(o.moved), Ever: o.moved, Late: c.Late != nil, Reason: over,
	}
	if over != "" {
		a.Resolved = c.Now.Add(time.Microsecond) // in the outbox the end must follow the beginning
	}
	return a, insertAlert(ctx, tx, a)
}

func insertAlert(ctx context.Context, tx *sqlstate.Tx, a *alert.Alert) error {
	scores, ever, err := encode(a)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO alerts (id, tenant, profile, monitor, detector, kind, raised, repeated, resolved, acknowledged, acknowledged_by,
		reason, notified, occurrences, range_start, range_end, scores, moved, ever, late, finding) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, 0, '', ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)`,
		a.ID, a.Tenant, a.Profile, a.Monitor, a.Detector, a.Trigger, micros(a.Raised), micros(a.Resolved), a.Reason, micros(a.Notified),
		micros(a.RangeStart), micros(a.RangeEnd), scores, a.Moved, ever, a.Late, a.Finding)
	return err
}

// reports are of the features, the worst first, at most alert.MaxMoved. One that
// has moved but is not found adrift now, or in an earlier slot, stands as it last
// was, if it is there.
func (c *Conclusion) reports(o outcome, features []string, last []score.Report) []score.Report {
	var reports []score.Report
	for i := range c.Result.Scores {
		s := &c.Result.Scores[i]
		name := score.Subject(c.Profile.Profile, s.Feature)
		if s.Monitor != o.monitor.Name || !slices.Contains(features, name) {
			continue
		}
		r := s.Report(c.Profile.Profile, c.Result.Exemplars[s.Feature])
		if s.Verdict != score.Drift || o.earlier {
			if k := slices.IndexFunc(last, func(l score.Report) bool { return l.Feature == name }); k >= 0 {
				r = last[k]
			}
		}
		r.Trim(maxBins)
		reports = append(reports, r)
	}
	slices.SortStableFunc(reports, func(a, b score.Report) int { return score.Worse(&a, &b) })
	return reports[:min(len(reports), alert.MaxMoved)]
}

func encode(a *alert.Alert) (scores, ever string, err error) {
	s, bad := json.Marshal(a.Scores)
	e, worse := json.Marshal(a.Ever)
	if err := errors.Join(bad, worse); err != nil {
		return "", "", fmt.Errorf("encode alert: %w", err)
	}
	return string(s), string(e), nil
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// events is the namespace of event ids.
var events = uuid.MustParse("7d6a35c7-5f0e-4c52-9e6b-3a1f8f0f5b21")

// tell puts the news of a change into the outbox, under the next number of the
// alert's.
func tell(ctx context.Context, tx *sqlstate.Tx, p *Registered, a *alert.Alert, change alert.Change, now time.Time) error {
	if _, err := tx.Exec(ctx, `UPDATE alerts SET told = told + 1 WHERE id = ?`, a.ID); err != nil {
		return err
	}
	var sequence int64
	if err := tx.QueryRow(ctx, `SELECT told FROM alerts WHERE id = ?`, a.ID).Scan(&sequence); err != nil {
		return err
	}
	e := eventOf(p, a)
	e.ID = uuid.NewSHA1(events, fmt.Appendf(nil, "%s %d", a.ID, sequence)).String()
	e.Sequence, e.Change, e.Time = sequence, change, now
	if change == alert.Acknowledged {
		e.By = a.AcknowledgedBy
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

// eventOf is what there is to tell of an alert.
func eventOf(p *Registered, a *alert.Alert) *alert.Event {
	e := &alert.Event{
		Tenant: a.Tenant, AlertID: a.ID, Profile: a.Profile, Title: p.Title(), Raised: a.Raised,
		Monitor: a.Monitor, Detector: a.Detector, Reason: a.Reason, Finding: a.Finding, Late: a.Late, Count: a.Moved, RangeStart: a.RangeStart, RangeEnd: a.RangeEnd,
		Traces: score.Traces(a.Scores, maxTraces),
	}
	if m := p.Monitor(a.Monitor); m != nil {
		e.Severity, e.Routes = m.Severity, m.Routes
	} else {
		e.Severity = profile.Warning // it is about the profile
	}
	for i := range a.Scores {
		m := alert.MovedOf(&a.Scores[i])
		if i < alert.MaxPictured {
			m.Picture(&a.Scores[i])
		}
		e.Moved = append(e.Moved, m)
	}
	return e
}

// Acknowledge says that somebody takes the tenant's alert on, and gives it. The
// first one counts. It is fault.NotFound when there is no such alert.
func (s *State) Acknowledge(ctx context.Context, who identity.Identity, id string, now time.Time) (a *alert.Alert, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		found, err := sqlstate.All(ctx, tx, scanAlert, selectAlerts+` WHERE tenant = ? AND id = ?`, who.Tenant, id)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return NoAlert(id)
		}
		p, err := one(ctx, tx, `tenant = ? AND uid = ?`, who.Tenant, found[0].Profile)
		if err != nil {
			return err
		}
		if !who.Spaces.Has(p.Space) {
			return NoAlert(id)
		}
		if a = found[0]; !a.Acknowledged.IsZero() {
			return nil
		}
		a.Acknowledged, a.AcknowledgedBy = now.Truncate(time.Microsecond).UTC(), who.Subject
		if _, err := tx.Exec(ctx, `UPDATE alerts SET acknowledged = ?, acknowledged_by = ? WHERE id = ?`, micros(now), who.Subject, id); err != nil {
			return err
		}
		return tell(ctx, tx, p, a, alert.Acknowledged, now)
	})
	if err != nil && !errors.Is(err, fault.NotFound) {
		err = fmt.Errorf("acknowledge alert: %w", err)
	}
	return a, err
}
