package store

import (
	"context"
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
)

// Password is what takes the place of a user's password.
type Password struct {
	Hash    string
	OneTime bool      // it is good for choosing another
	Ends    time.Time // zero for never
	// Instead is the hash that it replaces; empty for any.
	Instead string
}

// SetPassword replaces a user's password, and ends all its sessions and tokens.
// It gives fault.NotFound when there is no such user with a password, and
// fault.Conflict when the password is not the one that it was to replace.
func (s *Store) SetPassword(ctx context.Context, tenant, name string, to Password) error {
	return s.changeUser(ctx, "set password", tenant, name, func(tx *sqlstate.Tx, u account.User) error {
		switch {
		case u.External():
			return fault.Precondition.New("%q comes from an OpenID provider and has no password here", name).WithReason("NO_PASSWORD")
		case u.Service:
			return fault.Precondition.New("%q is a service account, which has no password", name).WithReason("NO_PASSWORD")
		case to.Instead != "" && to.Instead != u.Hash:
			return fault.Conflict.New("the password was changed meanwhile").WithReason("PASSWORD_CHANGED")
		}
		_, err := tx.Exec(ctx, `UPDATE users SET password_hash = ?, one_time = ?, password_ends_at = ? WHERE tenant = ? AND name = ?`,
			to.Hash, to.OneTime, sqlstate.Micros(to.Ends), tenant, name)
		return err
	})
}

// DisableUser keeps a user from logging in, and ends its sessions and tokens;
// so it does with the keys of a service account. The zero time enables it again.
func (s *Store) DisableUser(ctx context.Context, tenant, name string, at time.Time) error {
	return s.changeUser(ctx, "disable user", tenant, name, func(tx *sqlstate.Tx, _ account.User) error {
		_, err := tx.Exec(ctx, `UPDATE users SET disabled_at = ? WHERE tenant = ? AND name = ?`, sqlstate.Micros(at), tenant, name)
		return err
	})
}

// SetGrant changes what a user may do, and ends its sessions and tokens. It gives
// fault.Precondition for one of whom a provider's rules say it, and for a service
// account, whose keys say it.
func (s *Store) SetGrant(ctx context.Context, tenant, name string, to policy.Grant) (user account.User, err error) {
	err = s.changeUser(ctx, "set role", tenant, name, func(tx *sqlstate.Tx, u account.User) error {
		if u.External() {
			return fault.Precondition.New("%q comes from an OpenID provider: the rules of auth.oidc say what it may do", name).WithReason("ROLE_BY_RULES")
		}
		if u.Service {
			return fault.Precondition.New("%q is a service account: each of its keys has a role", name).WithReason("ROLE_BY_KEYS")
		}
		user, user.Grant = u, to
		return setGrant(ctx, tx, user)
	})
	return user, err
}

func setGrant(ctx context.Context, tx *sqlstate.Tx, u account.User) error {
	_, err := tx.Exec(ctx, `UPDATE users SET admin = ?, role = ?, permissions = ?, spaces = ? WHERE tenant = ? AND name = ?`,
		append(grantValues(u.Grant), u.Tenant, u.Name)...)
	return err
}

// DeleteUser removes a user, and ends its sessions and tokens; so it does with
// the keys of a service account.
func (s *Store) DeleteUser(ctx context.Context, tenant, name string, at time.Time) error {
	return s.changeUser(ctx, "delete user", tenant, name, func(tx *sqlstate.Tx, u account.User) error {
		if u.Service {
			if _, err := tx.Exec(ctx, `UPDATE api_keys SET revoked_at = ? WHERE tenant = ? AND account = ? AND revoked_at = 0`,
				sqlstate.Micros(at), tenant, name); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `DELETE FROM users WHERE tenant = ? AND name = ?`, tenant, name)
		return err
	})
}

// changeUser changes a user, and lets nothing of what it was given out before be
// believed any more.
func (s *Store) changeUser(ctx context.Context, what, tenant, name string, change func(*sqlstate.Tx, account.User) error) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		u, err := findUser(ctx, tx, tenant, name)
		if err != nil {
			return err
		}
		if err := change(tx, u); err != nil {
			return err
		}
		if err := endSessions(ctx, tx, `tenant = ? AND user_name = ?`, tenant, name); err != nil {
			return err
		}
		if err := s.revokeKeysOf(ctx, tx, u); err != nil {
			return err
		}
		return s.revoke(ctx, tx, identity.Revocation{Kind: identity.RevokedUser, Tenant: tenant, Subject: name})
	})
	if errors.Is(err, fault.NotFound) {
		return fault.NotFound.Wrap(err, "user %q of tenant %q does not exist", name, tenant).WithReason("USER_MISSING")
	}
	return wrap(what, err)
}

// revokeKeysOf makes everybody ask again about the keys of a service account.
func (s *Store) revokeKeysOf(ctx context.Context, tx *sqlstate.Tx, u account.User) error {
	if !u.Service {
		return nil
	}
	ids, err := sqlstate.All(ctx, tx, scanText, `SELECT id FROM api_keys WHERE tenant = ? AND account = ? ORDER BY id`, u.Tenant, u.Name)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.revoke(ctx, tx, identity.Revocation{Kind: identity.RevokedKey, Tenant: u.Tenant, Subject: id}); err != nil {
			return err
		}
	}
	return nil
}

// DisableTenant lets nobody of a tenant in, be it with a password, a token or a
// key. The zero time enables it again: then its keys are good again.
func (s *Store) DisableTenant(ctx context.Context, name string, at time.Time) error {
	return s.changeTenant(ctx, "disable tenant", name, func(tx *sqlstate.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE tenants SET disabled_at = ? WHERE name = ?`, sqlstate.Micros(at), name)
		return err
	})
}

// DeleteTenant removes a tenant with its users and keys. The name stays taken.
func (s *Store) DeleteTenant(ctx context.Context, name string, at time.Time) error {
	return s.changeTenant(ctx, "delete tenant", name, func(tx *sqlstate.Tx) error {
		for _, statement := range []string{
			`DELETE FROM users WHERE tenant = ?`,
			`DELETE FROM api_keys WHERE tenant = ?`,
		} {
			if _, err := tx.Exec(ctx, statement, name); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE tenants SET deleted_at = ? WHERE name = ?`, sqlstate.Micros(at), name)
		return err
	})
}

func (s *Store) changeTenant(ctx context.Context, what, name string, change func(*sqlstate.Tx) error) error {
	err := s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		var there bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM tenants WHERE name = ? AND deleted_at = 0)`, name).Scan(&there); err != nil {
			return err
		}
		if !there {
			return noTenant(nil, name)
		}
		if err := endSessions(ctx, tx, `tenant = ?`, name); err != nil {
			return err
		}
		if err := change(tx); err != nil {
			return err
		}
		return s.revoke(ctx, tx, identity.Revocation{Kind: identity.RevokedTenant, Tenant: name})
	})
	return wrap(what, err)
}
