package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

const selectAlerts = `SELECT id, tenant, profile, monitor, detector, kind, raised, repeated, resolved, acknowledged, acknowledged_by, reason,
	notified, occurrences, range_start, range_end, scores, moved, ever, late, muted, finding FROM alerts`

func scanAlert(rows *sql.Rows) (*alert.Alert, error) {
	a := new(alert.Alert)
	var raised, repeated, resolved, acknowledged, notified, start, end int64
	var scores, ever string
	if err := rows.Scan(&a.ID, &a.Tenant, &a.Profile, &a.Monitor, &a.Detector, &a.Trigger, &raised, &repeated, &resolved, &acknowledged,
		&a.AcknowledgedBy, &a.Reason, &notified, &a.Occurrences, &start, &end, &scores, &a.Moved, &ever, &a.Late, &a.Muted, &a.Finding); err != nil {
		return nil, err
	}
	for at, value := range map[*time.Time]int64{
		&a.Raised: raised, &a.Repeated: repeated, &a.Resolved: resolved, &a.Acknowledged: acknowledged,
		&a.Notified: notified, &a.RangeStart: start, &a.RangeEnd: end,
	} {
		*at = sqlstate.Time(value)
	}
	if err := errors.Join(json.Unmarshal([]byte(scores), &a.Scores), json.Unmarshal([]byte(ever), &a.Ever)); err != nil {
		return nil, fault.Internal.Wrap(err, "a stored alert cannot be read")
	}
	for i := range a.Scores {
		a.Scores[i].Monitor = a.Monitor // alerts older than monitors do not say
	}
	return a, nil
}

// OpenAlerts counts the alerts of all tenants that are open: those that nobody has
// taken on, and those that somebody has.
func (s *State) OpenAlerts(ctx context.Context) (waiting, acknowledged int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT COALESCE(SUM(CASE WHEN acknowledged = 0 THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN acknowledged = 0 THEN 0 ELSE 1 END), 0) FROM alerts WHERE resolved = 0`).Scan(&waiting, &acknowledged)
	return waiting, acknowledged, err
}

// Alerts chooses alerts of a tenant.
type Alerts struct {
	Tenant   string
	Profile  string        // the uid; "" for all
	Within   policy.Spaces // whose alerts may be seen
	OpenOnly bool
	After    string // the id of the last one of the page before, or ""
	Limit    int
}

// ListAlerts lists alerts, newest first.
func (s *State) ListAlerts(ctx context.Context, of Alerts) ([]*alert.Alert, error) {
	latest := int64(math.MaxInt64)
	if of.OpenOnly {
		latest = 0
	}
	within, args := ofSpaces("profile", of.Tenant, of.Within)
	args = append([]any{of.Tenant, of.Profile, of.Profile, latest, of.After, of.After}, args...)
	// UUIDv7 ids sort by the time they were made.
	return sqlstate.All(ctx, s.db, scanAlert, selectAlerts+` WHERE tenant = ? AND (? = '' OR profile = ?) AND resolved <= ?
		AND (? = '' OR id < ?)`+within+` ORDER BY id DESC LIMIT ?`, append(args, of.Limit)...)
}

// ofSpaces is the further condition that a column names a profile of one of the
// spaces, with its values; none for all spaces.
func ofSpaces(column, tenant string, spaces policy.Spaces) (condition string, values []any) {
	in, values := inSpaces("space", spaces)
	if in == "" {
		return "", nil
	}
	return " AND " + column + " IN (SELECT uid FROM profiles WHERE tenant = ?" + in + ")", append([]any{tenant}, values...)
}

// Alert gives one alert of a tenant; fault.NotFound when there is none.
func (s *State) Alert(ctx context.Context, tenant, id string) (*alert.Alert, error) {
	found, err := sqlstate.All(ctx, s.db, scanAlert, selectAlerts+` WHERE tenant = ? AND id = ?`, tenant, id)
	if err != nil {
		return nil, fmt.Errorf("look up alert: %w", err)
	}
	if len(found) == 0 {
		return nil, NoAlert(id)
	}
	return found[0], nil
}

// NoAlert says that there is no such alert.
func NoAlert(id string) error {
	return fault.NotFound.New("there is no alert %.100q", id).WithReason("ALERT_NOT_FOUND")
}

// Outbox gives the oldest events that were not published.
func (s *State) Outbox(ctx context.Context, limit int) ([]*alert.Event, error) {
	return sqlstate.All(ctx, s.db, func(rows *sql.Rows) (*alert.Event, error) {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		e := new(alert.Event)
		if err := json.Unmarshal([]byte(text), e); err != nil {
			return nil, fault.Internal.Wrap(err, "a stored event cannot be read")
		}
		if e.Monitor == "" { // written before there were monitors: of one feature, beside the rest
			var m alert.Moved
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				return nil, fault.Internal.Wrap(err, "a stored event cannot be read")
			}
			e.Monitor, e.Moved, e.Count = e.Detector, []alert.Moved{m}, 1
		}
		return e, nil
	}, `SELECT event FROM outbox ORDER BY created, id LIMIT ?`, limit)
}

// Published takes events out of the outbox.
func (s *State) Published(ctx context.Context, published []*alert.Event) error {
	return s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		for _, e := range published {
			if _, err := tx.Exec(ctx, `DELETE FROM outbox WHERE id = ?`, e.ID); err != nil {
				return err
			}
		}
		return nil
	})
}
