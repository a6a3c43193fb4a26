package store

import (
	"context"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// supersede ends the lower versions of a profile that is active: their schedules
// stop, whoever holds a slot of one loses it, and their alerts close, which
// people hear. Records may still come for them, and can be evaluated.
func supersede(ctx context.Context, tx *sqlstate.Tx, r *Registered, v version, now time.Time) error {
	older, err := sqlstate.All(ctx, tx, scanProfile, `SELECT tenant, active, created, body FROM profiles
		WHERE tenant = ? AND space = ? AND name = ? AND (major < ? OR major = ? AND (minor < ? OR minor = ? AND patch < ?))
		AND (active OR EXISTS (SELECT 1 FROM alerts WHERE alerts.profile = profiles.uid AND alerts.resolved = 0))`,
		r.Tenant, r.Space, r.Name, v[0], v[0], v[1], v[1], v[2])
	if err != nil {
		return err
	}
	for _, old := range older {
		if _, err := tx.Exec(ctx, `UPDATE profiles SET active = ? WHERE uid = ?`, false, old.UID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE schedules SET active = ?, owner = '', leased_until = 0 WHERE profile = ?`, false, old.UID); err != nil {
			return err
		}
		if err := closeAlerts(ctx, tx, old, "version "+r.Version+" takes its place", now); err != nil {
			return err
		}
	}
	return nil
}

// closeAlerts resolves all open alerts of a profile for a reason.
func closeAlerts(ctx context.Context, tx *sqlstate.Tx, p *Registered, reason string, now time.Time) error {
	open, err := sqlstate.All(ctx, tx, scanAlert, selectAlerts+` WHERE profile = ? AND resolved = 0`, p.UID)
	if err != nil {
		return err
	}
	for _, a := range open {
		a.Resolved, a.Reason, a.Moved = now, reason, 0
		if _, err := tx.Exec(ctx, `UPDATE alerts SET resolved = ?, reason = ? WHERE id = ?`, micros(now), reason, a.ID); err != nil {
			return err
		}
		if err := tell(ctx, tx, p, a, alert.Resolved, now); err != nil {
			return err
		}
	}
	return nil
}

// Active reports whether the profile with that uid is evaluated by itself.
func (s *State) Active(ctx context.Context, uid string) (active bool, err error) {
	if active, err = isActive(ctx, s.db, uid); err != nil {
		return false, fmt.Errorf("look whether profile %s is active: %w", uid, err)
	}
	return active, nil
}

func isActive(ctx context.Context, q sqlstate.Querier, uid string) (active bool, err error) {
	err = q.QueryRow(ctx, `SELECT active FROM profiles WHERE uid = ?`, uid).Scan(&active)
	return active, err
}
