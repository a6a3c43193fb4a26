package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
)

const linkColumns = `seq, id, at, tenant, actor, kind, home, source, action, object, outcome, reason, count, trace, hash`

// AppendAudit puts entries, trimmed, at the end of the chain, and leaves out those
// that are in it already.
func (s *Store) AppendAudit(ctx context.Context, entries []audit.Entry) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		// Of two that append at once one loses: they cannot both have this end, for
		// the transaction is serialisable and the number is the key.
		head, err := auditHead(ctx, tx)
		if err != nil {
			return err
		}
		for _, e := range entries {
			var known bool
			if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM audit WHERE id = ?)`, e.ID).Scan(&known); err != nil {
				return err
			}
			if known {
				continue
			}
			l := head.Add(e)
			if _, err := tx.Exec(ctx, `INSERT INTO audit (`+linkColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				int64(l.Seq), l.ID, sqlstate.Micros(l.Time), l.Tenant, l.Actor, l.Kind, l.Home, l.Source, l.Action, l.Object, //nolint:gosec // a count
				string(l.Outcome), l.Reason, int64(min(l.Count, 1<<62)), l.Trace, l.Hash[:]); err != nil { //nolint:gosec // bounded
				if errors.Is(err, fault.Exists) { // somebody else's end came first
					return fault.Conflict.Wrap(err, "the chain has grown meanwhile")
				}
				return err
			}
		}
		return nil
	})
	return wrap("append to the audit chain", err)
}

// AuditHead is where the chain ends.
func (s *Store) AuditHead(ctx context.Context) (audit.Head, error) {
	head, err := auditHead(ctx, s.db)
	return head, wrap("read the end of the audit chain", err)
}

func auditHead(ctx context.Context, q sqlstate.Querier) (h audit.Head, err error) {
	var hash []byte
	var seq int64
	err = q.QueryRow(ctx, `SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1`).Scan(&seq, &hash)
	if errors.Is(err, fault.NotFound) {
		return audit.Head{}, nil
	}
	h.Seq = uint64(seq) //nolint:gosec // a count
	copy(h.Hash[:], hash)
	return h, err
}

// AuditQuery chooses entries; what is zero chooses all but for Tenant and Limit.
type AuditQuery struct {
	Tenant         string
	Actor, Outcome string
	// Action is the whole of it or what stands behind its last slash.
	Action     string
	Start, End time.Time
	// Before is the number of the last entry of the page before.
	Before uint64
	Limit  int
}

// Audit lists entries about a tenant, the newest first.
func (s *Store) Audit(ctx context.Context, q AuditQuery) ([]audit.Link, error) {
	where, args := []string{"tenant = ?"}, []any{q.Tenant}
	add := func(is bool, condition string, values ...any) {
		if is {
			where, args = append(where, condition), append(args, values...)
		}
	}
	add(q.Actor != "", "actor = ?", q.Actor)
	add(q.Outcome != "", "outcome = ?", q.Outcome)
	add(q.Action != "", `(action = ? OR action LIKE ? ESCAPE '\')`, q.Action, "%/"+strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(q.Action))
	add(!q.Start.IsZero(), "at >= ?", sqlstate.Micros(q.Start))
	add(!q.End.IsZero(), "at < ?", sqlstate.Micros(q.End))
	add(q.Before != 0, "seq < ?", int64(q.Before)) //nolint:gosec // a count
	links, err := sqlstate.All(ctx, s.db, scanLink, `SELECT `+linkColumns+` FROM audit WHERE `+strings.Join(where, " AND ")+` ORDER BY seq DESC LIMIT ?`,
		append(args, q.Limit)...)
	return links, wrap("list audit entries", err)
}

// AuditChain gives the next entries of the chain after one, of all tenants.
func (s *Store) AuditChain(ctx context.Context, after uint64, limit int) ([]audit.Link, error) {
	links, err := sqlstate.All(ctx, s.db, scanLink, `SELECT `+linkColumns+` FROM audit WHERE seq > ? ORDER BY seq LIMIT ?`, int64(after), limit) //nolint:gosec // a count
	return links, wrap("read the audit chain", err)
}

func scanLink(rows *sql.Rows) (l audit.Link, err error) {
	var seq, at, count int64
	var hash []byte
	err = rows.Scan(&seq, &l.ID, &at, &l.Tenant, &l.Actor, &l.Kind, &l.Home, &l.Source, &l.Action, &l.Object, &l.Outcome, &l.Reason, &count, &l.Trace, &hash)
	l.Seq, l.Count, l.Time = uint64(seq), uint64(count), sqlstate.Time(at) //nolint:gosec // counts
	copy(l.Hash[:], hash)
	return l, err
}

// AddCheckpoint stores a checkpoint, unless its entry has one.
func (s *Store) AddCheckpoint(ctx context.Context, c audit.Checkpoint) error {
	_, err := s.db.Exec(ctx, `INSERT INTO audit_checkpoints (seq, at, hash, public_key, signature) VALUES (?, ?, ?, ?, ?) ON CONFLICT (seq) DO NOTHING`,
		int64(c.Seq), sqlstate.Micros(c.Time), c.Hash[:], c.Key, c.Signature) //nolint:gosec // a count
	return wrap("store audit checkpoint", err)
}

// Checkpoints gives those after one entry up to another.
func (s *Store) Checkpoints(ctx context.Context, after, last uint64) ([]audit.Checkpoint, error) {
	all, err := sqlstate.All(ctx, s.db, func(rows *sql.Rows) (c audit.Checkpoint, err error) {
		var seq, at int64
		var hash []byte
		err = rows.Scan(&seq, &at, &hash, &c.Key, &c.Signature)
		c.Seq, c.Time = uint64(seq), sqlstate.Time(at) //nolint:gosec // a count
		copy(c.Hash[:], hash)
		return c, err
	}, `SELECT seq, at, hash, public_key, signature FROM audit_checkpoints WHERE seq > ? AND seq <= ? ORDER BY seq`, int64(after), int64(last)) //nolint:gosec // counts
	return all, wrap("read audit checkpoints", err)
}
