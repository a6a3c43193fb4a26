package store

import (
	"context"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

const (
	// sessionsPerUser are open at a time; one more ends the oldest.
	sessionsPerUser = 64
	// refreshGrace is how long a used refresh token may be sent again by somebody
	// who did not get the answer: as long as what the answer held was not used.
	refreshGrace = 30 * time.Second
	// keepUsed is how long a used refresh token is remembered. One that is older
	// is refused like any other text, and ends nothing.
	keepUsed = 7 * 24 * time.Hour
)

// OpenSession begins a session of a user whose password was right, with the hash
// of its first refresh token. It gives fault.Conflict when the user is not as it
// was when the password was checked.
func (s *Store) OpenSession(ctx context.Context, user account.User, session account.Session, hash []byte) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		now, err := findUser(ctx, tx, user.Tenant, user.Name)
		if err != nil {
			return err
		}
		if now.Hash != user.Hash || now.Grant != user.Grant || now.Good() != nil {
			return fault.Precondition.New("the account was changed meanwhile: log in again").WithReason("ACCOUNT_CHANGED")
		}
		if err := makeRoom(ctx, tx, session); err != nil {
			return err
		}
		at := sqlstate.Micros(session.Created)
		if _, err := tx.Exec(ctx, `INSERT INTO sessions (id, tenant, user_name, created_at, ends_at) VALUES (?, ?, ?, ?, ?)`,
			session.ID, session.Tenant, session.User, at, sqlstate.Micros(session.Ends)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE users SET last_login_at = ? WHERE tenant = ? AND name = ?`, at, user.Tenant, user.Name); err != nil {
			return err
		}
		return addRefresh(ctx, tx, session.ID, hash, session.Created)
	})
	return wrap("open session", err)
}

// makeRoom ends the sessions whose time is up, and those of the user that are
// too many.
func makeRoom(ctx context.Context, tx *sqlstate.Tx, session account.Session) error {
	if err := endSessions(ctx, tx, `ends_at < ?`, sqlstate.Micros(session.Created)); err != nil {
		return err
	}
	old, err := sqlstate.All(ctx, tx, scanText, `SELECT id FROM sessions WHERE tenant = ? AND user_name = ? AND standing = FALSE ORDER BY created_at DESC, id LIMIT 16 OFFSET ?`,
		session.Tenant, session.User, sessionsPerUser-1)
	if err != nil {
		return err
	}
	for _, id := range old {
		if err := endSessions(ctx, tx, `id = ?`, id); err != nil {
			return err
		}
	}
	return nil
}

// endSessions deletes the sessions that a condition is true of.
func endSessions(ctx context.Context, tx *sqlstate.Tx, where string, args ...any) error {
	if _, err := tx.Exec(ctx, `DELETE FROM refresh_tokens WHERE session IN (SELECT id FROM sessions WHERE `+where+`)`, args...); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM sessions WHERE `+where, args...)
	return err
}

func addRefresh(ctx context.Context, tx *sqlstate.Tx, session string, hash []byte, at time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO refresh_tokens (hash, session, created_at, used_at) VALUES (?, ?, ?, 0)`, hash, session, sqlstate.Micros(at))
	return err
}

// Rotation is the exchange of a refresh token for the next.
type Rotation struct {
	Session   string
	Old, Next []byte // hashes
	At        time.Time
}

// ReasonReused is the reason for refusing a refresh token that was used before.
const ReasonReused = "REFRESH_TOKEN_REUSED"

// errReused says that a refresh token was used a second time: one of the two who
// had it stole it, and nobody knows which.
var errReused = fault.Unauthenticated.New("the refresh token was used before: the session was ended").WithReason(ReasonReused)

// Rotate exchanges a session's refresh token, and gives the user and the session.
// It gives fault.Unauthenticated when the token is not good; when it was good and
// was used already, that ends the session.
func (s *Store) Rotate(ctx context.Context, r Rotation) (user account.User, session account.Session, err error) {
	reused := false
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) (err error) {
		reused = false
		if session, err = findSession(ctx, tx, r.Session); err != nil {
			return err
		}
		var created, used int64
		if err := tx.QueryRow(ctx, `SELECT created_at, used_at FROM refresh_tokens WHERE hash = ? AND session = ?`, r.Old, r.Session).
			Scan(&created, &used); err != nil {
			return err
		}
		if used != 0 {
			if reused, err = isReused(ctx, tx, r, sqlstate.Time(used)); err != nil {
				return err
			}
		}
		if reused {
			return s.endSession(ctx, tx, session)
		}
		if user, err = findUser(ctx, tx, session.Tenant, session.User); err != nil {
			return err
		}
		return rotate(ctx, tx, r)
	})
	switch {
	case errors.Is(err, fault.NotFound), err == nil && !reused && !r.At.Before(session.Ends):
		return user, session, fault.Unauthenticated.Wrap(err, "the session has ended: log in again").WithReason("SESSION_ENDED")
	case err == nil && reused:
		return user, session, errReused
	}
	return user, session, wrap("rotate refresh token", err)
}

// isReused tells whether a used token comes from somebody else than the one who
// used it: not if it was used a moment ago and what came of it was not used.
func isReused(ctx context.Context, tx *sqlstate.Tx, r Rotation, used time.Time) (bool, error) {
	if r.At.Sub(used) > refreshGrace {
		return true, nil
	}
	var later bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM refresh_tokens WHERE session = ? AND created_at >= ? AND used_at <> 0)`,
		r.Session, sqlstate.Micros(used)).Scan(&later)
	return later, err
}

// rotate lets the next token be the only one that is good.
func rotate(ctx context.Context, tx *sqlstate.Tx, r Rotation) error {
	// An answer that did not arrive is not to be used any more.
	for _, step := range []struct {
		statement string
		args      []any
	}{
		{`DELETE FROM refresh_tokens WHERE session = ? AND used_at = 0 AND hash <> ?`, []any{r.Session, r.Old}},
		{`DELETE FROM refresh_tokens WHERE session = ? AND used_at <> 0 AND used_at < ?`, []any{r.Session, sqlstate.Micros(r.At.Add(-keepUsed))}},
		{`UPDATE refresh_tokens SET used_at = ? WHERE hash = ? AND used_at = 0`, []any{sqlstate.Micros(r.At), r.Old}},
	} {
		if _, err := tx.Exec(ctx, step.statement, step.args...); err != nil {
			return err
		}
	}
	return addRefresh(ctx, tx, r.Session, r.Next, r.At)
}

func findSession(ctx context.Context, q sqlstate.Querier, id string) (a account.Session, err error) {
	var created, ends int64
	err = q.QueryRow(ctx, `SELECT id, tenant, user_name, created_at, ends_at FROM sessions WHERE id = ?`, id).
		Scan(&a.ID, &a.Tenant, &a.User, &created, &ends)
	a.Created, a.Ends = sqlstate.Time(created), sqlstate.Time(ends)
	return a, err
}

// EndSession ends the session that a refresh token of it belongs to, used or not.
// One that is not there has ended.
func (s *Store) EndSession(ctx context.Context, id string, hash []byte) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		session, err := findSession(ctx, tx, id)
		if err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM refresh_tokens WHERE session = ? AND hash = ?)`, id, hash).Scan(&there); err != nil || !there {
			return err
		}
		return s.endSession(ctx, tx, session)
	})
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	return wrap("end session", err)
}

// endSession ends a session and all its tokens.
func (s *Store) endSession(ctx context.Context, tx *sqlstate.Tx, session account.Session) error {
	if err := endSessions(ctx, tx, `id = ?`, session.ID); err != nil {
		return err
	}
	return s.revoke(ctx, tx, identity.Revocation{Kind: identity.RevokedSession, Tenant: session.Tenant, Subject: session.ID})
}

// Sessions is how many sessions of a user are open.
func (s *Store) Sessions(ctx context.Context, tenant, name string) (n int, err error) {
	err = s.db.QueryRow(ctx, `SELECT COUNT(*) FROM sessions WHERE tenant = ? AND user_name = ?`, tenant, name).Scan(&n)
	return n, wrap("count sessions", err)
}
