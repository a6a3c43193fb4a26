package store_test

import (
	"crypto/ed25519"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
)

func audited(id, tenant string) audit.Entry {
	e := audit.Entry{ID: id, Time: day, Tenant: tenant, Actor: "ada", Kind: "user", Home: tenant, Source: "192.0.2.1:1",
		Action: "/driftmesh.auth.v1.AuthService/CreateUser", Object: "username=bob", Outcome: audit.OK, Trace: "ff"}
	e.Trim()
	return e
}

// Two that append side by side make one chain, in which each entry is once.
func TestTheAuditChainIsOne(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, a, b := t.Context(), open(t, url), open(t, url)
		var group sync.WaitGroup
		for i, s := range []*store.Store{a, b} {
			group.Go(func() {
				for n := range 20 {
					var err error
					for range 50 { // one that loses several times is told so, and tries again
						own, both := fmt.Sprintf("%d-%d", i, n), fmt.Sprint("both-", n)
						if err = s.AppendAudit(ctx, []audit.Entry{audited(own, "acme"), audited(both, "beta")}); err == nil {
							break
						}
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		links, err := a.AuditChain(ctx, 0, 1000)
		require.NoError(t, err)
		require.Len(t, links, 60)
		v := new(audit.Verifier)
		for _, l := range links {
			require.NoError(t, v.Take(audit.Line{Entry: &l}))
		}
		head, err := b.AuditHead(ctx)
		require.NoError(t, err)
		verdict, err := v.End()
		require.NoError(t, err)
		require.Equal(t, verdict.Head, head)
		rest, err := a.AuditChain(ctx, 58, 1000)
		require.NoError(t, err)
		require.Equal(t, links[58:], rest)
	})
}

func TestAuditOfATenant(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, s := t.Context(), open(t, url)
		head, err := s.AuditHead(ctx)
		require.NoError(t, err)
		require.Zero(t, head)
		denied := audited("d", "acme")
		denied.Outcome, denied.Actor, denied.Action, denied.Time = audit.Denied, "eve", "login", day.Add(time.Hour)
		require.NoError(t, s.AppendAudit(ctx, []audit.Entry{audited("a", "acme"), audited("b", "beta"), audited("c", "acme"), denied}))
		ids := func(q store.AuditQuery) (ids string) {
			q.Tenant, q.Limit = "acme", max(q.Limit, 1)
			links, err := s.Audit(ctx, q)
			require.NoError(t, err)
			for _, l := range links {
				require.Equal(t, "acme", l.Tenant)
				ids += l.ID
			}
			return ids
		}
		require.Equal(t, "dca", ids(store.AuditQuery{Limit: 10}))
		require.Equal(t, "dc", ids(store.AuditQuery{Limit: 2}))
		require.Equal(t, "a", ids(store.AuditQuery{Limit: 2, Before: 3}))
		require.Equal(t, "d", ids(store.AuditQuery{Limit: 10, Actor: "eve"}))
		require.Equal(t, "d", ids(store.AuditQuery{Limit: 10, Outcome: "denied"}))
		require.Equal(t, "d", ids(store.AuditQuery{Limit: 10, Action: "login"}))
		require.Equal(t, "ca", ids(store.AuditQuery{Limit: 10, Action: "CreateUser"}))
		require.Empty(t, ids(store.AuditQuery{Limit: 10, Action: "Create%"}))
		require.Equal(t, "d", ids(store.AuditQuery{Limit: 10, Start: day.Add(time.Second)}))
		require.Equal(t, "ca", ids(store.AuditQuery{Limit: 10, End: day.Add(time.Second)}))
	})
}

// Whoever can write the database changes an entry and computes every hash anew: the
// signature tells.
func TestAChangedRowIsFound(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, s := t.Context(), open(t, url)
		_, key, err := ed25519.GenerateKey(nil)
		require.NoError(t, err)
		require.NoError(t, s.AppendAudit(ctx, []audit.Entry{audited("a", "acme"), audited("b", "acme")}))
		head, err := s.AuditHead(ctx)
		require.NoError(t, err)
		require.NoError(t, s.AddCheckpoint(ctx, audit.Sign(head, day, key)))
		require.NoError(t, s.AddCheckpoint(ctx, audit.Sign(head, day.Add(1), key)), "the first stays")
		verify := func() error {
			links, err := s.AuditChain(ctx, 0, 10)
			require.NoError(t, err)
			points, err := s.Checkpoints(ctx, 0, 10)
			require.NoError(t, err)
			require.Len(t, points, 1)
			v := new(audit.Verifier)
			for _, l := range links {
				if err := v.Take(audit.Line{Entry: &l}); err != nil {
					return err
				}
			}
			return v.Take(audit.Line{Checkpoint: &points[0]})
		}
		require.NoError(t, verify())

		db, err := sqlstate.Open(ctx, url, store.Schema)
		require.NoError(t, err)
		defer db.Close()
		_, err = db.Exec(ctx, `UPDATE audit SET actor = 'bob' WHERE seq = 1`)
		require.NoError(t, err)
		require.ErrorContains(t, verify(), "entry 1 is not what was written")

		var forged audit.Head
		for _, id := range []string{"a", "b"} {
			e := audited(id, "acme")
			if id == "a" {
				e.Actor = "bob"
			}
			l := forged.Add(e)
			_, err := db.Exec(ctx, `UPDATE audit SET hash = ? WHERE seq = ?`, l.Hash[:], int64(l.Seq)) //nolint:gosec // a count
			require.NoError(t, err)
		}
		require.ErrorContains(t, verify(), "a checkpoint signs entry 2")
	})
}
