package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

// Touch says that a window has new rows; Due is when it should be recomputed,
// unless it waits already.
type Touch struct {
	Tenant, Profile string
	Minute          int64 // since 1970
	Due             time.Time
}

// Waiting is a window that waits to be recomputed.
type Waiting struct {
	Tenant, Profile string
	Minute          int64
	Touched         int64 // how often, so far
}

// Touch remembers windows to recompute. It is one transaction.
func (s *State) Touch(ctx context.Context, touches []Touch) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		for _, t := range touches {
			if _, err := tx.Exec(ctx, `INSERT INTO windows (tenant, profile, minute, touched, due, leased_until) VALUES (?, ?, ?, 1, ?, 0)
				ON CONFLICT (tenant, profile, minute) DO UPDATE SET touched = windows.touched + 1,
				due = CASE WHEN excluded.due < windows.due THEN excluded.due ELSE windows.due END`,
				t.Tenant, t.Profile, t.Minute, micros(t.Due)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remember touched windows: %w", err)
	}
	return nil
}

// ClaimWindows gives the caller windows of one profile that are due, for the
// length of the lease; none when nothing is due.
func (s *State) ClaimWindows(ctx context.Context, now time.Time, lease time.Duration, limit int) (claimed []Waiting, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		claimed = nil
		due, err := sqlstate.All(ctx, tx, scanWaiting, `SELECT tenant, profile, minute, touched FROM windows
			WHERE due <= ? AND leased_until <= ? ORDER BY due, tenant, profile, minute LIMIT ?`, micros(now), micros(now), limit)
		if err != nil {
			return err
		}
		for _, w := range due {
			if w.Profile != due[0].Profile || w.Tenant != due[0].Tenant {
				continue
			}
			if _, err := tx.Exec(ctx, `UPDATE windows SET leased_until = ? WHERE tenant = ? AND profile = ? AND minute = ?`,
				micros(now.Add(lease)), w.Tenant, w.Profile, w.Minute); err != nil {
				return err
			}
			claimed = append(claimed, w)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim windows: %w", err)
	}
	return claimed, nil
}

// WaitingWindows lists the windows of a profile from minute start to before end
// that wait, whoever works on them.
func (s *State) WaitingWindows(ctx context.Context, tenant, profile string, start, end int64) ([]Waiting, error) {
	return sqlstate.All(ctx, s.db, scanWaiting, `SELECT tenant, profile, minute, touched FROM windows
		WHERE tenant = ? AND profile = ? AND minute >= ? AND minute < ? ORDER BY minute`, tenant, profile, start, end)
}

func scanWaiting(rows *sql.Rows) (w Waiting, err error) {
	err = rows.Scan(&w.Tenant, &w.Profile, &w.Minute, &w.Touched)
	return w, err
}

// WindowsDone forgets windows that were recomputed and returns those that must
// wait on: touched again since, which become due at the given time.
func (s *State) WindowsDone(ctx context.Context, done []Waiting, again time.Time) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		for _, w := range done {
			n, err := tx.Exec(ctx, `DELETE FROM windows WHERE tenant = ? AND profile = ? AND minute = ? AND touched = ?`,
				w.Tenant, w.Profile, w.Minute, w.Touched)
			if err != nil {
				return err
			}
			if n == 1 {
				continue
			}
			if _, err := tx.Exec(ctx, `UPDATE windows SET leased_until = 0, due = ? WHERE tenant = ? AND profile = ? AND minute = ?`,
				micros(again), w.Tenant, w.Profile, w.Minute); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget recomputed windows: %w", err)
	}
	return nil
}

// PostponeWindows gives windows back to be claimed again at the given time.
func (s *State) PostponeWindows(ctx context.Context, windows []Waiting, until time.Time) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		for _, w := range windows {
			if _, err := tx.Exec(ctx, `UPDATE windows SET leased_until = 0, due = ? WHERE tenant = ? AND profile = ? AND minute = ?`,
				micros(until), w.Tenant, w.Profile, w.Minute); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("postpone windows: %w", err)
	}
	return nil
}

// WindowBacklog counts the windows that wait and says since when the first of
// them has been due; the zero time when none is.
func (s *State) WindowBacklog(ctx context.Context) (waiting int64, oldest time.Time, err error) {
	var due int64
	err = s.db.QueryRow(ctx, `SELECT COUNT(*), COALESCE(MIN(due), 0) FROM windows`).Scan(&waiting, &due)
	return waiting, sqlstate.Time(due), err
}
