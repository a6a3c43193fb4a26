package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// Dispatch writes down that an event goes to the named routes. An event that came
// before changes nothing.
func (s *State) Dispatch(ctx context.Context, e *alert.Event, routes []string, now time.Time) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		fresh, err := tx.Exec(ctx, `INSERT INTO news (event, alert, sequence, arrived, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (event) DO NOTHING`,
			e.ID, e.AlertID, e.Sequence, micros(now), string(body))
		if err != nil || fresh == 0 {
			return err
		}
		for _, route := range routes {
			id, err := uuid.NewV7()
			if err != nil {
				return fmt.Errorf("make delivery id: %w", err)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO deliveries (id, tenant, event, alert, sequence, change, route, state, created, due, settled, attempts, error, owner, leased_until)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '', '', 0) ON CONFLICT (event, route) DO NOTHING`,
				id.String(), e.Tenant, e.ID, e.AlertID, e.Sequence, string(e.Change), route, string(alert.Waiting), micros(now), micros(now)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("dispatch event: %w", err)
	}
	return nil
}

// Claimed is a delivery in the hands of its owner.
type Claimed struct {
	alert.Delivery
	Owner string
	News  *alert.Event
	// Heard says that the route was told before of what the alert is about,
	// Overtaken that it was told of something later.
	Heard, Overtaken bool
}

// Claim is what a delivery is claimed by.
type Claim struct {
	Route, Owner string
	// After is the tenant that had its turn: the others go first.
	After string
	Now   time.Time
	Lease time.Duration
	// Patience is how long an event waits for those of its alert that have a lower
	// number and are not here yet.
	Patience time.Duration
}

const (
	deliveryColumns = `d.id, d.tenant, d.event, d.alert, d.sequence, d.change, d.route, d.state, d.created, d.due, d.settled, d.attempts, d.error`

	// Small steps by the index, so that what waits costs nothing: one statement that
	// also looked at what stands before each took seconds where ten thousand waited.
	nextDelivery = `SELECT ` + deliveryColumns + `, n.body FROM deliveries d JOIN news n ON n.event = d.event
		WHERE d.route = ? AND d.state = 'waiting' AND d.tenant > ? AND d.due <= ? AND d.leased_until <= ? ORDER BY d.tenant, d.due, d.sequence, d.id LIMIT 1`

	// What stands before a delivery, and how much has come of the alert before it.
	beforeDelivery = `SELECT CASE WHEN due > leased_until THEN due ELSE leased_until END FROM deliveries
		WHERE alert = ? AND route = ? AND state = 'waiting' AND sequence < ? ORDER BY sequence LIMIT 1`
	arrivedBefore = `SELECT COUNT(*) FROM news WHERE alert = ? AND sequence > 0 AND sequence < ?`

	pastOfRoute = `SELECT
		EXISTS (SELECT 1 FROM deliveries WHERE alert = ? AND route = ? AND state = 'sent' AND change NOT IN ('resolved', 'acknowledged')),
		EXISTS (SELECT 1 FROM deliveries WHERE alert = ? AND route = ? AND state = 'sent' AND sequence > ?)`
)

const (
	// passedOver bounds the deliveries that one claim passes over because others go
	// before them.
	passedOver = 100
	// lookAgain is when one that was passed over is looked at again.
	lookAgain = time.Second
)

// ClaimDelivery gives the owner the delivery of a route whose turn it is, for the
// length of the lease; nil when none is due. Of one alert the lowest number goes
// first, and none before all with lower ones have come. That it was begun is
// counted at once, so that one whose owner dies shows it.
func (s *State) ClaimDelivery(ctx context.Context, c Claim) (*Claimed, error) {
	var claimed *Claimed
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		claimed = nil
		for range passedOver {
			d, err := c.next(ctx, tx)
			if err != nil || d == nil {
				return err
			}
			later, err := c.mustWait(ctx, tx, d)
			if err != nil {
				return err
			}
			if later.IsZero() {
				claimed = d
				return c.take(ctx, tx, d)
			}
			if _, err := tx.Exec(ctx, `UPDATE deliveries SET due = ? WHERE id = ?`, micros(later), d.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim delivery: %w", err)
	}
	return claimed, nil
}

// next is the delivery that is due longest of the tenant whose turn it is.
func (c *Claim) next(ctx context.Context, tx *sqlstate.Tx) (*Claimed, error) {
	for _, after := range []string{c.After, ""} {
		found, err := sqlstate.All(ctx, tx, scanClaimed, nextDelivery, c.Route, after, micros(c.Now), micros(c.Now))
		if err != nil || len(found) > 0 {
			return first(found), err
		}
	}
	return nil, nil
}

func first(found []*Claimed) *Claimed {
	if len(found) == 0 {
		return nil
	}
	return found[0]
}

// mustWait says when to look at the delivery again, where something goes before
// it; the zero time where nothing does.
func (c *Claim) mustWait(ctx context.Context, tx *sqlstate.Tx, d *Claimed) (time.Time, error) {
	soon := c.Now.Add(lookAgain)
	var until int64
	switch err := tx.QueryRow(ctx, beforeDelivery, d.AlertID, d.Route, d.Sequence).Scan(&until); {
	case err == nil:
		if t := sqlstate.Time(until); t.After(soon) {
			return t, nil
		}
		return soon, nil
	case !errors.Is(err, fault.NotFound):
		return time.Time{}, err
	}
	if d.Sequence <= 1 || !d.Created.After(c.Now.Add(-c.Patience)) {
		return time.Time{}, nil
	}
	var came int64
	if err := tx.QueryRow(ctx, arrivedBefore, d.AlertID, d.Sequence).Scan(&came); err != nil || came >= d.Sequence-1 {
		return time.Time{}, err
	}
	return soon, nil
}

func (c *Claim) take(ctx context.Context, tx *sqlstate.Tx, d *Claimed) error {
	if err := tx.QueryRow(ctx, pastOfRoute, d.AlertID, d.Route, d.AlertID, d.Route, d.Sequence).Scan(&d.Heard, &d.Overtaken); err != nil {
		return err
	}
	d.Owner = c.Owner
	d.Attempts++
	_, err := tx.Exec(ctx, `UPDATE deliveries SET owner = ?, leased_until = ?, attempts = attempts + 1 WHERE id = ?`, c.Owner, micros(c.Now.Add(c.Lease)), d.ID)
	return err
}

func scanClaimed(rows *sql.Rows) (*Claimed, error) {
	c := new(Claimed)
	var body string
	if err := scanDeliveryInto(rows, &c.Delivery, &body); err != nil {
		return nil, err
	}
	news, err := readEvent(body)
	c.News = news
	return c, err
}

func scanDeliveryInto(rows *sql.Rows, d *alert.Delivery, more ...any) error {
	var created, due, settled int64
	var change, state string
	if err := rows.Scan(append([]any{
		&d.ID, &d.Tenant, &d.Event, &d.AlertID, &d.Sequence, &change, &d.Route, &state, &created, &due, &settled, &d.Attempts, &d.Error,
	}, more...)...); err != nil {
		return err
	}
	d.Change, d.State = alert.Change(change), alert.State(state)
	d.Created, d.Due, d.Settled = sqlstate.Time(created), sqlstate.Time(due), sqlstate.Time(settled)
	return nil
}

func readEvent(text string) (*alert.Event, error) {
	e := new(alert.Event)
	if err := json.Unmarshal([]byte(text), e); err != nil {
		return nil, fault.Internal.Wrap(err, "a stored event cannot be read")
	}
	return e, nil
}

// Outcome is what became of an attempt. Due is when the next one is, if it is
// still waiting.
type Outcome struct {
	State alert.State
	Due   time.Time
	Error string
	Now   time.Time
}

// SettleDelivery writes down what became of an attempt. One that is in other
// hands by now stays theirs, unless it was sent. One that a silence withheld
// mutes its alert.
func (s *State) SettleDelivery(ctx context.Context, d *Claimed, o Outcome) error {
	settled := int64(0)
	if o.State != alert.Waiting {
		settled, o.Due = micros(o.Now), d.Due
	}
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE deliveries SET state = ?, due = ?, settled = ?, error = ?, owner = '', leased_until = 0
			WHERE id = ? AND state = 'waiting' AND (owner = ? OR ?)`,
			string(o.State), micros(o.Due), settled, o.Error, d.ID, d.Owner, o.State == alert.Sent); err != nil || o.State == alert.Waiting {
			return err
		}
		// What waited behind it waits no more.
		if _, err := tx.Exec(ctx, `UPDATE deliveries SET due = ? WHERE alert = ? AND route = ? AND state = 'waiting' AND sequence > ? AND due > ?`,
			micros(o.Now), d.AlertID, d.Route, d.Sequence, micros(o.Now)); err != nil || o.State != alert.Withheld || d.News.Closes() {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE alerts SET muted = ? WHERE id = ? AND resolved = 0`, true, d.AlertID)
		return err
	})
	if err != nil {
		return fmt.Errorf("settle delivery: %w", err)
	}
	return nil
}

// GiveUpDeliveries fails what has waited since before the given time, and says
// how many of each route.
func (s *State) GiveUpDeliveries(ctx context.Context, before, now time.Time) (map[string]int, error) {
	given := map[string]int{}
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		clear(given)
		_, err := sqlstate.All(ctx, tx, func(rows *sql.Rows) (none struct{}, err error) {
			var route string
			var n int
			err = rows.Scan(&route, &n)
			given[route] = n
			return none, err
		}, `SELECT route, COUNT(*) FROM deliveries WHERE state = 'waiting' AND created < ? AND leased_until <= ? GROUP BY route`, micros(before), micros(now))
		if err != nil || len(given) == 0 {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE deliveries SET state = 'failed', settled = ?, error = CASE WHEN error = '' THEN 'it was never tried: its route may not be there any more' ELSE 'given up: ' || error END
			WHERE state = 'waiting' AND created < ? AND leased_until <= ?`, micros(now), micros(before), micros(now))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("give up deliveries: %w", err)
	}
	return given, nil
}

// ForgetDeliveries forgets deliveries that were settled before the given time,
// and the news of then, but for those of alerts that are open.
func (s *State) ForgetDeliveries(ctx context.Context, before time.Time) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		const open = ` AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.resolved = 0 AND a.id = `
		if _, err := tx.Exec(ctx, `DELETE FROM deliveries WHERE state <> 'waiting' AND settled < ?`+open+`deliveries.alert)`, micros(before)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM news WHERE arrived < ? AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event = news.event AND d.state = 'waiting')`+
			open+`news.alert)`, micros(before))
		return err
	})
	if err != nil {
		return fmt.Errorf("forget deliveries: %w", err)
	}
	return nil
}

// Backlog is what waits of one route.
type Backlog struct {
	Waiting int64
	Oldest  time.Time
}

// DeliveryBacklog says what waits, by route.
func (s *State) DeliveryBacklog(ctx context.Context) (map[string]Backlog, error) {
	found := map[string]Backlog{}
	_, err := sqlstate.All(ctx, s.db, func(rows *sql.Rows) (none struct{}, err error) {
		var route string
		var b Backlog
		var oldest int64
		err = rows.Scan(&route, &b.Waiting, &oldest)
		b.Oldest = sqlstate.Time(oldest)
		found[route] = b
		return none, err
	}, `SELECT route, COUNT(*), MIN(created) FROM deliveries WHERE state = 'waiting' GROUP BY route`)
	return found, err
}

// Deliveries chooses among the deliveries of a tenant; what is "" chooses all.
type Deliveries struct {
	Tenant, Alert, Route string
	State                alert.State
	Within               policy.Spaces // of whose alerts they may be seen
	// After is the id of the last one of the page before, or "".
	After string
	Limit int
}

// ListDeliveries lists deliveries, newest first.
func (s *State) ListDeliveries(ctx context.Context, of Deliveries) ([]*alert.Delivery, error) {
	where, args := []string{"d.tenant = ?"}, []any{of.Tenant}
	for column, value := range map[string]string{"d.alert = ?": of.Alert, "d.route = ?": of.Route, "d.state = ?": string(of.State), "d.id < ?": of.After} {
		if value != "" {
			where, args = append(where, column), append(args, value)
		}
	}
	within, values := ofSpaces("a.profile", of.Tenant, of.Within)
	if within != "" {
		within = ` AND EXISTS (SELECT 1 FROM alerts a WHERE a.id = d.alert` + within + `)`
	}
	args = append(args, values...)
	return sqlstate.All(ctx, s.db, func(rows *sql.Rows) (*alert.Delivery, error) {
		d := new(alert.Delivery)
		return d, scanDeliveryInto(rows, d)
	}, `SELECT `+deliveryColumns+` FROM deliveries d WHERE `+strings.Join(where, " AND ")+within+` ORDER BY d.id DESC LIMIT ?`, append(args, of.Limit)...)
}

// OpenNews gives the last event that a route was told of each alert that is open,
// in the order of alerts, after the given one.
func (s *State) OpenNews(ctx context.Context, route, after string, limit int) ([]*alert.Event, error) {
	return sqlstate.All(ctx, s.db, func(rows *sql.Rows) (*alert.Event, error) {
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		return readEvent(body)
	}, `SELECT n.body FROM alerts a JOIN deliveries d ON d.alert = a.id AND d.route = ? AND d.state = 'sent' JOIN news n ON n.event = d.event
		WHERE a.resolved = 0 AND a.id > ? AND d.change NOT IN ('resolved', 'acknowledged')
		AND NOT EXISTS (SELECT 1 FROM deliveries l WHERE l.alert = d.alert AND l.route = d.route AND l.state = 'sent' AND l.sequence > d.sequence
			AND l.change NOT IN ('acknowledged'))
		ORDER BY a.id LIMIT ?`, route, after, limit)
}

// ResolveTime is when the alert was resolved, the zero time while it is open.
func (s *State) ResolveTime(ctx context.Context, id string) (time.Time, error) {
	var resolved int64
	err := s.db.QueryRow(ctx, `SELECT resolved FROM alerts WHERE id = ?`, id).Scan(&resolved)
	if errors.Is(err, fault.NotFound) {
		return time.Time{}, nil // of somebody else's making
	}
	return sqlstate.Time(resolved), err
}
