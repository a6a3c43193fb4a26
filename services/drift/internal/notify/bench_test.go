package notify_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/notify"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
)

// nowhere is a route that takes everything at once.
type nowhere struct{}

func (nowhere) Deliver(context.Context, *alert.Event) error { return nil }

// BenchmarkDeliveries measures what a delivery costs the state, from the event to
// sent, while many others wait on a route that is dead.
func BenchmarkDeliveries(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": sqltest.SQLite, "postgres": sqltest.Postgres} {
		for _, waiting := range []int{0, 10_000} {
			b.Run(fmt.Sprintf("%s/%d waiting", name, waiting), func(b *testing.B) {
				ctx := b.Context()
				db, err := sqlstate.Open(ctx, url(b), store.Schema)
				require.NoError(b, err)
				defer func() { require.NoError(b, db.Close()) }()
				state := store.NewState(db)
				require.NoError(b, state.Migrate(ctx, slog.New(slog.DiscardHandler)))
				for i := range waiting {
					require.NoError(b, state.Dispatch(ctx, event("acme", fmt.Sprint("w", i), 1, alert.Raised), []string{"dead"}, noon))
				}
				c := notify.Courier{
					Name: "a", Route: nowhere{}, Timeout: time.Second, Owner: "w", Queue: state, Metrics: &counts{}, Log: slog.New(slog.DiscardHandler),
					Now: func() time.Time { return noon },
				}
				b.ResetTimer()
				for i := range b.N {
					require.NoError(b, state.Dispatch(ctx, event("acme", fmt.Sprint("x", i), 1, alert.Raised), []string{"a", "dead"}, noon))
					require.NoError(b, c.Work(ctx))
				}
				require.Equal(b, b.N, c.Metrics.(*counts).of["a sent"])
			})
		}
	}
}

// BenchmarkBacklog measures what a delivery of a route costs that has many due:
// how fast a route catches up that was away.
func BenchmarkBacklog(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": sqltest.SQLite, "postgres": sqltest.Postgres} {
		b.Run(name, func(b *testing.B) {
			ctx := b.Context()
			db, err := sqlstate.Open(ctx, url(b), store.Schema)
			require.NoError(b, err)
			defer func() { require.NoError(b, db.Close()) }()
			state := store.NewState(db)
			require.NoError(b, state.Migrate(ctx, slog.New(slog.DiscardHandler)))
			for i := range 10_000 {
				require.NoError(b, state.Dispatch(ctx, event(fmt.Sprint("t", i%7), fmt.Sprint("w", i), 1, alert.Raised), []string{"a"}, noon))
			}
			b.ResetTimer()
			for range b.N {
				d, err := state.ClaimDelivery(ctx, store.Claim{Route: "a", Owner: "w", After: "t3", Now: noon, Lease: time.Minute, Patience: notify.Patience})
				require.NoError(b, err)
				require.NoError(b, state.SettleDelivery(ctx, d, store.Outcome{State: alert.Sent, Now: noon}))
			}
		})
	}
}
