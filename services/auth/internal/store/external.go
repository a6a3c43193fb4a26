package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

// Arrive gives the user of a tenant that a provider vouches for, as it is now to be:
// it is made when it was not there, and what it had ends when it may do something else
// now. What the same person has in other tenants ends: its place is here. user needs a
// tenant, a name, a grant, an issuer and a subject; other is the name that it gets
// where somebody else has the first.
//
// It gives fault.NotFound when there is no such tenant. A user that is disabled is
// given as it is.
func (s *Store) Arrive(ctx context.Context, user account.User, other string) (arrived account.User, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		all, err := ofProvider(ctx, tx, user.Issuer, user.Subject)
		if err != nil {
			return err
		}
		for _, known := range all {
			if known.Tenant == user.Tenant {
				continue
			}
			if err := s.endAll(ctx, tx, known); err != nil {
				return err
			}
		}
		if arrived, err = admit(ctx, tx, user, other, all); err != nil || arrived.Grant == user.Grant {
			return err
		}
		arrived.Grant = user.Grant
		if err := setGrant(ctx, tx, arrived); err != nil {
			return err
		}
		return s.endAll(ctx, tx, arrived)
	})
	return arrived, wrap("find user of provider", err)
}

// Admit is Arrive for a workload, which has no session: nothing ends, neither its own
// tokens, of which several may be good for different things, nor what a person of the
// same name has, whose role stays as it is while there is a session.
func (s *Store) Admit(ctx context.Context, user account.User, other string) (admitted account.User, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		all, err := ofProvider(ctx, tx, user.Issuer, user.Subject)
		if err != nil {
			return err
		}
		if admitted, err = admit(ctx, tx, user, other, all); err != nil || admitted.Grant == user.Grant {
			return err
		}
		var sessions int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM sessions WHERE tenant = ? AND user_name = ?`, admitted.Tenant, admitted.Name).
			Scan(&sessions); err != nil || sessions > 0 {
			return err
		}
		admitted.Grant = user.Grant
		return setGrant(ctx, tx, admitted)
	})
	return admitted, wrap("find user of provider", err)
}

// admit gives the user as it is, one of those that the provider vouches for, or makes it.
func admit(ctx context.Context, tx *sqlstate.Tx, user account.User, other string, all []account.User) (account.User, error) {
	for _, known := range all {
		if known.Tenant == user.Tenant {
			return known, nil
		}
	}
	_, err := findUser(ctx, tx, user.Tenant, user.Name)
	if err == nil { // which is somebody else
		user.Name = other
	} else if !errors.Is(err, fault.NotFound) {
		return user, err
	}
	err = addUser(ctx, tx, user, user.Issuer)
	if errors.Is(err, fault.Exists) { // made by another login just now
		return user, fault.Conflict.Wrap(err, "the user was made meanwhile")
	}
	if err != nil {
		return user, err
	}
	return findUser(ctx, tx, user.Tenant, user.Name)
}

// Depart ends what somebody has for whom a provider vouches and who has no place here
// any more.
func (s *Store) Depart(ctx context.Context, issuer, subject string) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		all, err := ofProvider(ctx, tx, issuer, subject)
		for _, known := range all {
			err = errors.Join(err, s.endAll(ctx, tx, known))
		}
		return err
	})
	return wrap("end what a user of a provider has", err)
}

// endAll ends the sessions of a user, and lets none of its tokens be believed.
func (s *Store) endAll(ctx context.Context, tx *sqlstate.Tx, u account.User) error {
	if err := endSessions(ctx, tx, `tenant = ? AND user_name = ?`, u.Tenant, u.Name); err != nil {
		return err
	}
	return s.revoke(ctx, tx, identity.Revocation{Kind: identity.RevokedUser, Tenant: u.Tenant, Subject: u.Name})
}

func ofProvider(ctx context.Context, q sqlstate.Querier, issuer, subject string) ([]account.User, error) {
	return sqlstate.All(ctx, q, func(rows *sql.Rows) (account.User, error) { return scanUser(rows) },
		`SELECT `+userColumns+usersOfTenants+`WHERE u.issuer = ? AND u.subject = ? AND u.issuer <> '' ORDER BY u.tenant`, issuer, subject)
}

// FinishLogin notes that a login at a provider was finished, until it would be too late
// for it. It gives fault.Exists when it was before.
func (s *Store) FinishLogin(ctx context.Context, id string, ends time.Time) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM finished_logins WHERE ends_at < ?`, sqlstate.Micros(time.Now())); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO finished_logins (id, ends_at) VALUES (?, ?)`, id, sqlstate.Micros(ends))
		return err
	})
	return wrap("finish login", err)
}

// Seen notes that a user came just now.
func (s *Store) Seen(ctx context.Context, user account.User, at time.Time) error {
	_, err := s.db.Exec(ctx, `UPDATE users SET last_login_at = ? WHERE tenant = ? AND name = ?`, sqlstate.Micros(at), user.Tenant, user.Name)
	return wrap("note a login", err)
}
