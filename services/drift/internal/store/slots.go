package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

// Slot is one evaluation of a schedule that is due, in the hands of its owner.
type Slot struct {
	Tenant, Profile string
	Owner           string
	Previous, At    time.Time // the range between slots: (Previous, At]
	Attempts        int       // failures so far
}

// ClaimSlot gives the owner a slot that is due, for the length of the lease; nil
// when none is due. Tenants have their turns, and so have the profiles of each, so
// that nobody waits for the backlog of another; the slots of a profile come in
// order. A slot whose owner died is claimed again when the lease is over.
func (s *State) ClaimSlot(ctx context.Context, owner string, due, now time.Time, lease time.Duration) (*Slot, error) {
	var claimed *Slot
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		claimed = nil
		slots, err := sqlstate.All(ctx, tx, scanSlot, `SELECT w.tenant, w.profile, w.previous, w.next, w.attempts FROM schedules w`+turnJoins+`
			WHERE w.active = ? AND w.next <= ? AND w.not_before <= ? AND w.leased_until <= ?
			ORDER BY COALESCE(t.turn, 0), COALESCE(u.turn, 0), w.next, w.profile LIMIT 1`,
			turnSlots, turnSlots, true, micros(due), micros(now), micros(now))
		if err != nil || len(slots) == 0 {
			return err
		}
		slot := slots[0]
		slot.Owner = owner
		n, err := tx.Exec(ctx, `UPDATE schedules SET owner = ?, leased_until = ? WHERE profile = ? AND next = ? AND leased_until <= ?`,
			owner, micros(now.Add(lease)), slot.Profile, micros(slot.At), micros(now))
		if err != nil || n == 0 {
			return err
		}
		claimed = slot
		return had(ctx, tx, turnSlots, slot.Tenant, slot.Profile)
	})
	if err != nil {
		return nil, fmt.Errorf("claim slot: %w", err)
	}
	return claimed, nil
}

// ClaimNow gives the owner the slot of a profile that is due, whether its grace is
// over or it is to be tried again later, or else makes one of the present minute.
// When that has been judged already the slot is nil, and last is the one that did.
// Errors: fault.Precondition when the profile is not active, fault.Unavailable when
// its slot is in other hands.
func (s *State) ClaimNow(ctx context.Context, owner, profile string, now time.Time, lease time.Duration) (slot *Slot, last time.Time, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		slot = nil
		var active bool
		var leased int64
		found := &Slot{Profile: profile, Owner: owner}
		var previous, next int64
		if err := tx.QueryRow(ctx, `SELECT tenant, active, previous, next, attempts, leased_until FROM schedules WHERE profile = ?`, profile).
			Scan(&found.Tenant, &active, &previous, &next, &found.Attempts, &leased); err != nil {
			return err
		}
		found.Previous, found.At = sqlstate.Time(previous), sqlstate.Time(next)
		last = found.Previous
		switch {
		case !active:
			return fault.Precondition.New("the schedule of profile %s is switched off", profile).WithReason("PROFILE_INACTIVE")
		case leased > micros(now):
			return fault.Unavailable.New("profile %s is being evaluated just now", profile).WithReason("SLOT_IN_HAND").WithRetryAfter(time.Second)
		case found.At.After(now):
			found.At = now.UTC().Truncate(time.Minute)
			if found.At.Unix()/60 <= found.Previous.Unix()/60 {
				return nil
			}
		}
		slot = found
		_, err := tx.Exec(ctx, `UPDATE schedules SET next = ?, owner = ?, leased_until = ? WHERE profile = ?`,
			micros(slot.At), owner, micros(now.Add(lease)), profile)
		return err
	})
	return slot, last, err
}

func scanSlot(rows *sql.Rows) (*Slot, error) {
	slot := new(Slot)
	var previous, next int64
	err := rows.Scan(&slot.Tenant, &slot.Profile, &previous, &next, &slot.Attempts)
	slot.Previous, slot.At = sqlstate.Time(previous), sqlstate.Time(next)
	return slot, err
}

// FailSlot gives the slot back, to be tried again not before the given time.
// The schedule does not move on: the slot stays due until it is done.
func (s *State) FailSlot(ctx context.Context, slot *Slot, notBefore time.Time) error {
	_, err := s.db.Exec(ctx, `UPDATE schedules SET owner = '', leased_until = 0, attempts = attempts + 1, not_before = ?
		WHERE profile = ? AND next = ? AND owner = ?`, micros(notBefore), slot.Profile, micros(slot.At), slot.Owner)
	if err != nil {
		return fmt.Errorf("give slot back: %w", err)
	}
	return nil
}

// finish moves the schedule on, if the slot is still in its owner's hands. When the
// lease is over it is not, though nobody else may have taken it yet: minutes that
// changed meanwhile were looked at as of a slot that has still to be judged.
func (slot *Slot) finish(ctx context.Context, tx *sqlstate.Tx, next, now time.Time) error {
	n, err := tx.Exec(ctx, `UPDATE schedules SET owner = '', leased_until = 0, attempts = 0, not_before = 0, previous = next, next = ?
		WHERE profile = ? AND next = ? AND owner = ? AND leased_until > ?`, micros(next), slot.Profile, micros(slot.At), slot.Owner, micros(now))
	if err != nil {
		return err
	}
	if n == 0 {
		return fault.Precondition.New("the slot is in other hands by now").WithReason("SLOT_LOST")
	}
	return nil
}
