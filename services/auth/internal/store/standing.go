package store

import (
	"context"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

// Stand gives the standing session of a user whose password was right: the one that
// there is, or else the new one. It gives fault.Precondition when the user is not as
// it was when the password was checked.
func (s *Store) Stand(ctx context.Context, user account.User, fresh account.Session) (session account.Session, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		now, err := findUser(ctx, tx, user.Tenant, user.Name)
		if err != nil {
			return err
		}
		if now.Hash != user.Hash || now.Grant != user.Grant || now.Good() != nil {
			return fault.Precondition.New("the account was changed meanwhile: log in again").WithReason("ACCOUNT_CHANGED")
		}
		session, err = standing(ctx, tx, `tenant = ? AND user_name = ?`, user.Tenant, user.Name)
		switch {
		case err == nil && session.Ends.After(fresh.Created):
			return prolong(ctx, tx, &session, fresh.Created, fresh.Ends)
		case err != nil && !errors.Is(err, fault.NotFound):
			return err
		}
		session = fresh
		if err := makeRoom(ctx, tx, session); err != nil { // those whose time is up
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO sessions (id, tenant, user_name, created_at, ends_at, standing) VALUES (?, ?, ?, ?, ?, ?)`,
			session.ID, session.Tenant, session.User, sqlstate.Micros(session.Created), sqlstate.Micros(session.Ends), true); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE users SET last_login_at = ? WHERE tenant = ? AND name = ?`, sqlstate.Micros(session.Created), user.Tenant, user.Name)
		return err
	})
	return session, wrap("open standing session", err)
}

// Renewal is the use of a standing session.
type Renewal struct {
	Session, Tenant, User string
	At, Ends              time.Time // it goes on until Ends
}

// Renew keeps a standing session going, and gives its user as it is now. It gives
// fault.Unauthenticated when the session has ended.
func (s *Store) Renew(ctx context.Context, r Renewal) (user account.User, session account.Session, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) (err error) {
		if session, err = standing(ctx, tx, `id = ? AND tenant = ? AND user_name = ?`, r.Session, r.Tenant, r.User); err != nil {
			return err
		}
		if user, err = findUser(ctx, tx, session.Tenant, session.User); err != nil {
			return err
		}
		if !r.At.Before(session.Ends) {
			return fault.NotFound.New("the session has ended")
		}
		return prolong(ctx, tx, &session, r.At, r.Ends)
	})
	if errors.Is(err, fault.NotFound) {
		err = fault.Unauthenticated.Wrap(err, "the session has ended: log in again").WithReason("SESSION_ENDED")
	}
	return user, session, wrap("renew session", err)
}

func standing(ctx context.Context, tx *sqlstate.Tx, where string, args ...any) (a account.Session, err error) {
	var created, ends int64
	err = tx.QueryRow(ctx, `SELECT id, tenant, user_name, created_at, ends_at FROM sessions WHERE standing = ? AND `+where+` ORDER BY ends_at DESC LIMIT 1`,
		append([]any{true}, args...)...).Scan(&a.ID, &a.Tenant, &a.User, &created, &ends)
	a.Created, a.Ends = sqlstate.Time(created), sqlstate.Time(ends)
	return a, err
}

// prolongShare of its life is what a session must have lost before its end is
// written again: not every use of it is a write.
const prolongShare = 16

func prolong(ctx context.Context, tx *sqlstate.Tx, session *account.Session, now, ends time.Time) error {
	if ends.Sub(session.Ends) < ends.Sub(now)/prolongShare {
		return nil
	}
	session.Ends = ends
	_, err := tx.Exec(ctx, `UPDATE sessions SET ends_at = ? WHERE id = ?`, sqlstate.Micros(ends), session.ID)
	return err
}
