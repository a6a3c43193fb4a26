package store

import (
	"context"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

// Late are minutes of a profile whose cells changed when slots had judged them, in
// the hands of an owner, who scores those slots again.
type Late struct {
	Tenant, Profile string
	Owner           string
	Minutes         []Waiting // ascending
}

// lateAtOnce bounds the minutes that a worker looks at together.
const lateAtOnce = 5000

// ClaimLate gives the owner the late minutes of one profile that are due, for the
// length of the lease; nil when nothing is due. A profile is in one hand at a time,
// and waits while a slot of its schedule is being scored. Tenants and profiles have
// their turns.
func (s *State) ClaimLate(ctx context.Context, owner string, now time.Time, lease time.Duration) (claimed *Late, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		claimed = nil
		next, err := sqlstate.All(ctx, tx, scanOwner, `SELECT w.tenant, w.profile FROM late w`+turnJoins+`
			WHERE w.due <= ? AND w.leased_until <= ? AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.profile = w.profile AND s.leased_until > ?)
			AND NOT EXISTS (SELECT 1 FROM late l WHERE l.profile = w.profile AND l.leased_until > ?)
			GROUP BY w.tenant, w.profile ORDER BY `+turnOrder+`, MIN(w.due), w.profile LIMIT 1`,
			turnLate, turnLate, micros(now), micros(now), micros(now), micros(now))
		if err != nil || len(next) == 0 {
			return err
		}
		l := &Late{Tenant: next[0].tenant, Profile: next[0].profile, Owner: owner}
		l.Minutes, err = sqlstate.All(ctx, tx, scanWaiting, `SELECT tenant, profile, minute, touched FROM late
			WHERE profile = ? AND due <= ? AND leased_until <= ? ORDER BY minute LIMIT ?`, l.Profile, micros(now), micros(now), lateAtOnce)
		if err != nil {
			return err
		}
		for _, m := range l.Minutes {
			if _, err := tx.Exec(ctx, `UPDATE late SET owner = ?, leased_until = ? WHERE profile = ? AND minute = ?`,
				owner, micros(now.Add(lease)), m.Profile, m.Minute); err != nil {
				return err
			}
		}
		claimed = l
		return had(ctx, tx, turnLate, l.Tenant, l.Profile)
	})
	if err != nil {
		return nil, fmt.Errorf("claim late minutes: %w", err)
	}
	return claimed, nil
}

// hold makes sure that the minutes are still in their owner's hands.
func (l *Late) hold(ctx context.Context, tx *sqlstate.Tx, now time.Time) error {
	var held int
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM late WHERE profile = ? AND owner = ? AND leased_until > ?`, l.Profile, l.Owner, micros(now)).Scan(&held)
	if err == nil && held < len(l.Minutes) {
		return fault.Precondition.New("the late minutes are in other hands by now").WithReason("SLOT_LOST")
	}
	return err
}

// KeepLate makes the lease last from now on. It is fault.Precondition when the
// minutes are in other hands by now.
func (s *State) KeepLate(ctx context.Context, l *Late, now time.Time, lease time.Duration) error {
	return s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		if err := l.hold(ctx, tx, now); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE late SET leased_until = ? WHERE profile = ? AND owner = ?`, micros(now.Add(lease)), l.Profile, l.Owner)
		return err
	})
}

// LateDone forgets minutes whose slots were scored again. Those that changed since
// are late again, at the given time.
func (s *State) LateDone(ctx context.Context, l *Late, again time.Time) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		for _, m := range l.Minutes {
			if _, err := tx.Exec(ctx, `DELETE FROM late WHERE profile = ? AND minute = ? AND touched = ? AND owner = ?`,
				m.Profile, m.Minute, m.Touched, l.Owner); err != nil {
				return err
			}
		}
		return l.release(ctx, tx, again)
	})
	if err != nil {
		return fmt.Errorf("forget late minutes: %w", err)
	}
	return nil
}

// PostponeLate gives minutes back to be claimed again at the given time.
func (s *State) PostponeLate(ctx context.Context, l *Late, until time.Time) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error { return l.release(ctx, tx, until) })
	if err != nil {
		return fmt.Errorf("postpone late minutes: %w", err)
	}
	return nil
}

func (l *Late) release(ctx context.Context, tx *sqlstate.Tx, until time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE late SET owner = '', leased_until = 0, due = ? WHERE profile = ? AND owner = ?`, micros(until), l.Profile, l.Owner)
	return err
}

// WindowsInHand reports whether somebody works on a window of the profile.
func (s *State) WindowsInHand(ctx context.Context, profile string, now time.Time) (in bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM windows WHERE profile = ? AND leased_until > ?)`, profile, micros(now)).Scan(&in)
	if err != nil {
		return false, fmt.Errorf("look for windows in hand: %w", err)
	}
	return in, nil
}

// ForgetVerdicts forgets what slots before the given time came to, which late data
// then change no more, but for as many of the last of each profile as are to be kept.
func (s *State) ForgetVerdicts(ctx context.Context, before time.Time, keep int) error {
	_, err := s.db.Exec(ctx, `DELETE FROM verdicts WHERE slot < ? AND slot < (SELECT v.slot FROM verdicts v
		WHERE v.profile = verdicts.profile AND v.kind = verdicts.kind ORDER BY v.slot DESC LIMIT 1 OFFSET ?)`, micros(before), max(keep-1, 0))
	return err
}
