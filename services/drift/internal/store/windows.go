package store

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

// Touch says that a window has new rows.
type Touch struct {
	Tenant, Profile string
	Minute          int64 // since 1970
}

// Waiting is a window that waits to be recomputed.
type Waiting struct {
	Tenant, Profile string
	Minute          int64
	Touched         int64 // the number of the last touch so far
}

// least is the lesser of two numbers, in every dialect.
func least(a, b string) string {
	return strings.NewReplacer("$a", a, "$b", b).Replace("CASE WHEN $a < $b THEN $a ELSE $b END")
}

// quietPart is how long a window must be quiet to be recomputed before its time is
// up: a part of that time.
const quietPart = 8

// longestWait is half of what a window waits at most: without it, one that is touched
// and looked at for days would wait for ever in the end.
const longestWait = 30 * time.Minute

// touchSQL remembers a touch. At first a window waits for the refresh. While more
// comes it waits twice as long each time, or until rows stop, so that all times
// that it is read are a small multiple of the last; but once that time has passed
// without any it is a beginning again. Touches are numbered from somewhere at random:
// who recomputed a window that was forgotten and touched anew meanwhile must not pass
// off the old touches that it saw as the new ones.
var touchSQL = strings.NewReplacer(
	"$fresh", "(windows.touched = windows.done AND ? > windows.again)",
	"$wait", least("windows.again", fmt.Sprintf("excluded.due + windows.wait / %d", quietPart)),
).Replace(`INSERT INTO windows (tenant, profile, minute, touched, done, wait, again, due, leased_until) VALUES (?, ?, ?, ?, ?, 0, 0, ?, 0)
	ON CONFLICT (tenant, profile, minute) DO UPDATE SET touched = windows.touched + 1,
	due = CASE WHEN windows.again = 0 THEN windows.due WHEN $fresh THEN excluded.due ELSE $wait END,
	again = CASE WHEN $fresh THEN 0 ELSE windows.again END,
	wait = CASE WHEN $fresh THEN 0 ELSE windows.wait END`)

// Touch remembers windows to recompute, the first time when refresh has passed
// from now. It is one transaction.
func (s *State) Touch(ctx context.Context, touches []Touch, now time.Time, refresh time.Duration) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		for _, t := range touches {
			start := rand.Int64N(1 << 62) //nolint:gosec // nobody gains by guessing it
			if _, err := tx.Exec(ctx, touchSQL, t.Tenant, t.Profile, t.Minute, start+1, start, micros(now.Add(refresh)), micros(now), micros(now), micros(now)); err != nil {
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
// length of the lease; none when nothing is due. Tenants have their turns, and so
// have the profiles of each.
func (s *State) ClaimWindows(ctx context.Context, now time.Time, lease time.Duration, limit int) (claimed []Waiting, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		claimed = nil
		next, err := sqlstate.All(ctx, tx, scanOwner, `SELECT w.tenant, w.profile FROM windows w`+turnJoins+`
			WHERE w.due <= ? AND w.leased_until <= ? AND w.touched > w.done GROUP BY w.tenant, w.profile
			ORDER BY `+turnOrder+`, MIN(w.due), w.profile LIMIT 1`, turnWindows, turnWindows, micros(now), micros(now))
		if err != nil || len(next) == 0 {
			return err
		}
		of := next[0]
		claimed, err = sqlstate.All(ctx, tx, scanWaiting, `SELECT tenant, profile, minute, touched FROM windows
			WHERE tenant = ? AND profile = ? AND due <= ? AND leased_until <= ? AND touched > done ORDER BY due, minute LIMIT ?`,
			of.tenant, of.profile, micros(now), micros(now), limit)
		if err != nil {
			return err
		}
		for _, w := range claimed {
			if _, err := tx.Exec(ctx, `UPDATE windows SET leased_until = ? WHERE tenant = ? AND profile = ? AND minute = ?`,
				micros(now.Add(lease)), w.Tenant, w.Profile, w.Minute); err != nil {
				return err
			}
		}
		return had(ctx, tx, turnWindows, of.tenant, of.profile)
	})
	if err != nil {
		return nil, fmt.Errorf("claim windows: %w", err)
	}
	return claimed, nil
}

// owner is whose something is.
type owner struct{ tenant, profile string }

func scanOwner(rows *sql.Rows) (o owner, err error) {
	err = rows.Scan(&o.tenant, &o.profile)
	return o, err
}

// WaitingWindows lists the windows of a profile from minute start to before end
// that wait, whoever works on them.
func (s *State) WaitingWindows(ctx context.Context, tenant, profile string, start, end int64) ([]Waiting, error) {
	return sqlstate.All(ctx, s.db, scanWaiting, `SELECT tenant, profile, minute, touched FROM windows
		WHERE tenant = ? AND profile = ? AND minute >= ? AND minute < ? AND touched > done ORDER BY minute`, tenant, profile, start, end)
}

func scanWaiting(rows *sql.Rows) (w Waiting, err error) {
	err = rows.Scan(&w.Tenant, &w.Profile, &w.Minute, &w.Touched)
	return w, err
}

// Recomputed is what there is to say of windows of one profile that were
// recomputed.
type Recomputed struct {
	Windows []Waiting
	Now     time.Time
	Refresh time.Duration
	// Slot is the one that the caller evaluates, and adds up after this; nil if none.
	Slot *Slot
	// Closed is the minute before which windows were evaluated as they closed,
	// beyond the one that closed; 0 when there are none.
	Closed int64
}

// doneSQL takes a window off the list, and has it wait longer the next time.
var doneSQL = strings.ReplaceAll(`UPDATE windows SET done = ?, leased_until = 0, wait = $wait, again = ? + $wait, due = ? + $wait
	WHERE tenant = ? AND profile = ? AND minute = ? AND done < ? AND touched >= ?`,
	"$wait", fmt.Sprintf("CASE WHEN wait = 0 THEN ? WHEN wait > %d THEN wait ELSE 2 * wait END", longestWait.Microseconds()))

// WindowsDone takes windows that were recomputed off the list. Those that were
// touched again since wait on. Where a slot has judged one before, or may have, it
// is late (ClaimLate).
func (s *State) WindowsDone(ctx context.Context, r Recomputed) error {
	if len(r.Windows) == 0 {
		return nil
	}
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		judged, err := r.judged(ctx, tx)
		if err != nil {
			return err
		}
		now, refresh := micros(r.Now), r.Refresh.Microseconds()
		for _, w := range r.Windows {
			if _, err := tx.Exec(ctx, doneSQL, w.Touched, refresh, now, refresh, now, refresh, w.Tenant, w.Profile, w.Minute, w.Touched, w.Touched); err != nil {
				return err
			}
			if w.Minute >= judged {
				continue
			}
			if _, err := tx.Exec(ctx, `INSERT INTO late (tenant, profile, minute, touched, due, owner, leased_until) VALUES (?, ?, ?, 1, ?, '', 0)
				ON CONFLICT (profile, minute) DO UPDATE SET touched = late.touched + 1`, w.Tenant, w.Profile, w.Minute, now+refresh); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take recomputed windows off the list: %w", err)
	}
	return nil
}

// judged gives the minute before which slots have judged, or may have: one that is
// in somebody's hands may have added up the cells before they were recomputed.
func (r *Recomputed) judged(ctx context.Context, tx *sqlstate.Tx) (int64, error) {
	var previous, next int64
	var holder string
	err := tx.QueryRow(ctx, `SELECT previous, next, owner FROM schedules WHERE profile = ?`, r.Windows[0].Profile).Scan(&previous, &next, &holder)
	if err != nil {
		return 0, err
	}
	until := sqlstate.Time(previous)
	if holder != "" && (r.Slot == nil || r.Slot.Owner != holder) {
		until = sqlstate.Time(next)
	}
	return max(until.Unix()/60, r.Closed), nil
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

// ForgetWindows forgets windows that do not wait and have been quiet.
func (s *State) ForgetWindows(ctx context.Context, now time.Time) error {
	_, err := s.db.Exec(ctx, `DELETE FROM windows WHERE touched = done AND again < ?`, micros(now))
	return err
}

// WindowBacklog counts the windows that wait and says since when the first of
// them has been due; the zero time when none is.
func (s *State) WindowBacklog(ctx context.Context) (waiting int64, oldest time.Time, err error) {
	var due int64
	err = s.db.QueryRow(ctx, `SELECT COUNT(*), COALESCE(MIN(due), 0) FROM windows WHERE touched > done`).Scan(&waiting, &due)
	return waiting, sqlstate.Time(due), err
}
