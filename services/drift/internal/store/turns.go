package store

import (
	"context"

	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

// What is shared out in turn, first among tenants, then among the profiles of one.
const (
	turnSlots   = "slots"
	turnWindows = "windows"
	turnLate    = "late"
)

// turnJoins and turnOrder put the rows of a table with tenant and profile, named w,
// in the order in which it is their turn. The joins take the work twice.
const (
	turnJoins = ` LEFT JOIN turns t ON t.work = ? AND t.who = w.tenant LEFT JOIN turns u ON u.work = ? AND u.who = w.profile `
	turnOrder = ` COALESCE(MIN(t.turn), 0), COALESCE(MIN(u.turn), 0) `
)

// had says that a profile, and its tenant, had their turn.
func had(ctx context.Context, tx *sqlstate.Tx, work, tenant, profile string) error {
	for _, who := range []string{tenant, profile} {
		if _, err := tx.Exec(ctx, `INSERT INTO turns (work, who, turn) VALUES (?, ?, (SELECT COALESCE(MAX(turn), 0) + 1 FROM turns WHERE work = ?))
			ON CONFLICT (work, who) DO UPDATE SET turn = excluded.turn`, work, who, work); err != nil {
			return err
		}
	}
	return nil
}
