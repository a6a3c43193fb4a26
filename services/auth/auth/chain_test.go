package auth

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
)

// Whoever can write the database makes another past, with hashes that are right and
// without the checkpoints of the true one: auth does not sign that.
func TestAuthSignsNoOtherPast(t *testing.T) {
	for name, forge := range map[string]func(exec func(query string, args ...any)){
		"another": func(exec func(string, ...any)) {
			exec(`DELETE FROM audit_checkpoints`)
			var head audit.Head
			for i := range 4 {
				l := head.Add(audit.Entry{ID: fmt.Sprint(i), Time: time.UnixMicro(1), Action: "nothing", Outcome: audit.OK, Count: 1})
				exec(`UPDATE audit SET action = 'nothing', hash = ? WHERE seq = ?`, l.Hash[:], int64(l.Seq)) //nolint:gosec // a count
			}
		},
		"a shorter":   func(exec func(string, ...any)) { exec(`DELETE FROM audit WHERE seq > 1`) },
		"an unsigned": func(exec func(string, ...any)) { exec(`DELETE FROM audit_checkpoints`) },
		"a gap":       func(exec func(string, ...any)) { exec(`UPDATE audit SET reason = 'x' WHERE seq = 4`) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, url := t.Context(), sqltest.SQLite(t)
			db, err := sqlstate.Open(ctx, url, store.Schema)
			require.NoError(t, err)
			defer db.Close()
			migrations, err := store.Migrations()
			require.NoError(t, err)
			require.NoError(t, db.Migrate(ctx, migrations))
			s := store.New(db)
			secrets, err := identity.FixedSecrets([]byte("0123456789abcdef0123456789abcdef"))
			require.NoError(t, err)
			c := newChain(s, secrets, slog.New(slog.DiscardHandler))
			grow := func(from, to int) {
				for i := from; i < to; i++ {
					require.NoError(t, s.AppendAudit(ctx, []audit.Entry{{ID: fmt.Sprint(i), Time: time.UnixMicro(1), Action: "delete", Outcome: audit.OK, Count: 1}}))
				}
			}
			grow(0, 2)
			require.NoError(t, c.sign(ctx))
			grow(2, 3)
			require.NoError(t, c.sign(ctx), "it has grown")
			grow(3, 4)
			forge(func(query string, args ...any) {
				_, err := db.Exec(ctx, query, args...)
				require.NoError(t, err)
			})
			err = c.sign(ctx)
			require.ErrorIs(t, err, fault.Internal)
			require.Equal(t, "AUDIT_CHANGED", fault.Of(err).Reason())
		})
	}
}
