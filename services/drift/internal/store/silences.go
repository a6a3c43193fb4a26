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
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// MaxSilences is how many silences of a tenant may be to come or hold at a time.
const MaxSilences = 1000

const selectSilences = `SELECT id, tenant, match, starts, ends, reason, made_by, created, expired, expired_by FROM silences`

func scanSilence(rows *sql.Rows) (*alert.Silence, error) {
	s := new(alert.Silence)
	var match string
	var starts, ends, created, expired int64
	if err := rows.Scan(&s.ID, &s.Tenant, &match, &starts, &ends, &s.Reason, &s.By, &created, &expired, &s.ExpiredBy); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(match), &s.Match); err != nil {
		return nil, fault.Internal.Wrap(err, "a stored silence cannot be read")
	}
	s.Start, s.End, s.Created, s.Expired = sqlstate.Time(starts), sqlstate.Time(ends), sqlstate.Time(created), sqlstate.Time(expired)
	return s, nil
}

// CreateSilence stores a valid silence under a fresh id. It is fault.Exhausted
// when the tenant has MaxSilences that are not over.
func (s *State) CreateSilence(ctx context.Context, silence alert.Silence) (*alert.Silence, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make silence id: %w", err)
	}
	match, err := json.Marshal(silence.Match)
	if err != nil {
		return nil, fmt.Errorf("encode silence: %w", err)
	}
	silence.ID = id.String()
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		var held int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM silences WHERE tenant = ? AND expired = 0 AND ends > ?`, silence.Tenant, micros(silence.Created)).Scan(&held); err != nil {
			return err
		}
		if held >= MaxSilences {
			return fault.Exhausted.New("there are %d silences that are not over, the most there may be", held).WithReason("TOO_MANY_SILENCES")
		}
		_, err := tx.Exec(ctx, `INSERT INTO silences (id, tenant, match, starts, ends, reason, made_by, created, expired, expired_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, '')`,
			silence.ID, silence.Tenant, string(match), micros(silence.Start), micros(silence.End), silence.Reason, silence.By, micros(silence.Created))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create silence: %w", err)
	}
	return &silence, nil
}

// ListSilences lists the tenant's silences, newest first; current are those that
// are not over. after is the id of the last one of the page before, or "".
func (s *State) ListSilences(ctx context.Context, tenant string, current bool, now time.Time, after string, limit int) ([]*alert.Silence, error) {
	since := int64(0)
	if current {
		since = micros(now)
	}
	return sqlstate.All(ctx, s.db, scanSilence, selectSilences+` WHERE tenant = ? AND (? = 0 OR ends > ? AND expired = 0) AND (? = '' OR id < ?)
		ORDER BY id DESC LIMIT ?`, tenant, since, since, after, after, limit)
}

// ExpireSilence ends the tenant's silence before its time, and gives it. One that
// is over stays as it is. It is fault.NotFound when there is no such silence, or
// it is not one of the caller's spaces.
func (s *State) ExpireSilence(ctx context.Context, who identity.Identity, id string, now time.Time) (found *alert.Silence, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		all, err := sqlstate.All(ctx, tx, scanSilence, selectSilences+` WHERE tenant = ? AND id = ?`, who.Tenant, id)
		if err != nil {
			return err
		}
		if len(all) == 0 || !who.Spaces.Has(all[0].Match.Space) {
			return fault.NotFound.New("there is no silence %.100q", id).WithReason("SILENCE_NOT_FOUND")
		}
		if found = all[0]; !found.Expired.IsZero() || !now.Before(found.End) {
			return nil
		}
		found.Expired, found.ExpiredBy = now.Truncate(time.Microsecond).UTC(), who.Subject
		_, err = tx.Exec(ctx, `UPDATE silences SET expired = ?, expired_by = ? WHERE id = ?`, micros(now), who.Subject, id)
		return err
	})
	if err != nil && !errors.Is(err, fault.NotFound) {
		err = fmt.Errorf("expire silence: %w", err)
	}
	return found, err
}

// Silences gives the silences of a tenant that hold now.
func (s *State) Silences(ctx context.Context, tenant string, now time.Time) ([]*alert.Silence, error) {
	return activeSilences(ctx, s.db, tenant, now)
}

func activeSilences(ctx context.Context, q sqlstate.Querier, tenant string, now time.Time) ([]*alert.Silence, error) {
	return sqlstate.All(ctx, q, scanSilence, selectSilences+` WHERE tenant = ? AND starts <= ? AND ends > ? AND expired = 0 ORDER BY id`,
		tenant, micros(now), micros(now))
}

// SilencedBy is the silence that keeps the alert of a profile from being told
// now, or nil.
func SilencedBy(silences []*alert.Silence, p *Registered, a *alert.Alert, now time.Time) *alert.Silence {
	return alert.Silenced(silences, eventOf(p, a), now)
}

// unmuteAtOnce bounds the alerts of one call.
const unmuteAtOnce = 100

// Unmute tells of the open alerts that a silence kept from being told and that
// none keeps any longer.
func (s *State) Unmute(ctx context.Context, now time.Time) error {
	muted, err := sqlstate.All(ctx, s.db, scanAlert, selectAlerts+` WHERE muted AND resolved = 0 ORDER BY tenant, id`)
	if err != nil || len(muted) == 0 {
		return err
	}
	told := 0
	for _, a := range muted {
		ok, err := s.unmute(ctx, a.ID, now)
		if err != nil {
			return fmt.Errorf("tell of an alert after its silence: %w", err)
		}
		if ok {
			told++
		}
		if told == unmuteAtOnce {
			break
		}
	}
	return nil
}

func (s *State) unmute(ctx context.Context, id string, now time.Time) (told bool, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		told = false
		found, err := sqlstate.All(ctx, tx, scanAlert, selectAlerts+` WHERE id = ? AND muted AND resolved = 0`, id)
		if err != nil || len(found) == 0 {
			return err
		}
		a := found[0]
		p, err := one(ctx, tx, `tenant = ? AND uid = ?`, a.Tenant, a.Profile)
		if err != nil {
			return err
		}
		silences, err := activeSilences(ctx, tx, a.Tenant, now)
		if err != nil || SilencedBy(silences, p, a, now) != nil {
			return err
		}
		var heard bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM deliveries WHERE alert = ? AND state = 'sent' AND change NOT IN ('resolved', 'acknowledged'))`, a.ID).
			Scan(&heard); err != nil {
			return err
		}
		change := alert.Raised
		if heard {
			change = alert.Repeated
		}
		if _, err := tx.Exec(ctx, `UPDATE alerts SET muted = ?, notified = ? WHERE id = ?`, false, micros(now), a.ID); err != nil {
			return err
		}
		told = true
		return tell(ctx, tx, p, a, change, now)
	})
	return told, err
}

// ForgetSilences forgets silences that were over before the given time.
func (s *State) ForgetSilences(ctx context.Context, before time.Time) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM silences WHERE ends < ? OR expired > 0 AND expired < ?`, micros(before), micros(before)); err != nil {
		return fmt.Errorf("forget silences: %w", err)
	}
	return nil
}
