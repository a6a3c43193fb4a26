// Package store keeps auth's state in SQL: tenants, users, API keys, sessions,
// revocations and signing keys. Every statement about a tenant's rows names the tenant.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/token"
)

// Schema is the name of auth's schema.
const Schema = "auth"

// listLimit bounds every list.
const listLimit = 10000

//go:embed migrations
var files embed.FS

// Migrations are the files that make the schema.
func Migrations() (fs.FS, error) { return fs.Sub(files, "migrations") }

// Store is auth's state. Errors are faults. It is safe for concurrent use.
type Store struct{ db *sqlstate.DB }

var (
	_ account.Users = (*Store)(nil)
	_ token.Keys    = (*Store)(nil)
)

// New makes the store over an open, migrated schema.
func New(db *sqlstate.DB) *Store { return &Store{db} }

// AddTenant stores a tenant, or gives fault.Exists.
func (s *Store) AddTenant(ctx context.Context, t account.Tenant) error {
	_, err := s.db.Exec(ctx, `INSERT INTO tenants (name, created_at) VALUES (?, ?)`,
		t.Name, sqlstate.Micros(t.Created))
	if errors.Is(err, fault.Exists) {
		return fault.Exists.Wrap(err, "tenant %q exists already", t.Name).WithReason("TENANT_EXISTS")
	}
	return wrap("add tenant", err)
}

// EnsureTenant stores a tenant unless it exists.
func (s *Store) EnsureTenant(ctx context.Context, t account.Tenant) error {
	_, err := s.db.Exec(ctx, `INSERT INTO tenants (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`,
		t.Name, sqlstate.Micros(t.Created))
	return wrap("add tenant", err)
}

// Tenants lists all tenants that are not deleted by name.
func (s *Store) Tenants(ctx context.Context) ([]account.Tenant, error) {
	all, err := sqlstate.All(ctx, s.db, func(rows *sql.Rows) (t account.Tenant, err error) {
		var created, disabled int64
		err = rows.Scan(&t.Name, &created, &disabled)
		t.Created, t.Disabled = sqlstate.Time(created), sqlstate.Time(disabled)
		return t, err
	}, `SELECT name, created_at, disabled_at FROM tenants WHERE deleted_at = 0 ORDER BY name LIMIT ?`, listLimit)
	return all, wrap("list tenants", err)
}

// AddUser stores a user made by somebody. It gives fault.Exists when the tenant
// has one of this name, and fault.NotFound when there is no such tenant.
func (s *Store) AddUser(ctx context.Context, u account.User, by string) error {
	return addUser(ctx, s.db, u, by)
}

func addUser(ctx context.Context, q sqlstate.Querier, u account.User, by string) error {
	n, err := q.Exec(ctx, `INSERT INTO users (tenant, name, password_hash, `+grantColumns+`, service, one_time, password_ends_at, created_at, created_by, issuer, subject)
		SELECT name, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM tenants WHERE name = ? AND deleted_at = 0`,
		append(append([]any{u.Name, u.Hash}, grantValues(u.Grant)...),
			u.Service, u.OneTime, sqlstate.Micros(u.PasswordEnds), sqlstate.Micros(u.Created), by, u.Issuer, u.Subject, u.Tenant)...)
	switch {
	case err == nil && n == 0:
		return noTenant(nil, u.Tenant)
	case errors.Is(err, fault.Exists):
		return fault.Exists.Wrap(err, "user %q of tenant %q exists already", u.Name, u.Tenant).WithReason("USER_EXISTS")
	}
	return wrap("add user", err)
}

// AddFirstUser stores a user if the tenant has none yet, and tells whether it
// did.
func (s *Store) AddFirstUser(ctx context.Context, u account.User, by string) (added bool, err error) {
	err = s.db.InTx(ctx, func(tx *sqlstate.Tx) error {
		var users int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM users WHERE tenant = ?`, u.Tenant).Scan(&users); err != nil {
			return err
		}
		added = users == 0
		if !added {
			return nil
		}
		return addUser(ctx, tx, u, by)
	})
	return added && err == nil, wrap("add first user", err)
}

// HasUsers tells whether a tenant has a user.
func (s *Store) HasUsers(ctx context.Context, tenant string) (has bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM users WHERE tenant = ?)`, tenant).Scan(&has)
	return has, wrap("look for users", err)
}

var userColumns = `u.tenant, u.name, u.password_hash, ` + grantOf("u") + `, u.created_at,
	u.service, u.disabled_at, u.last_login_at, u.one_time, u.password_ends_at, t.disabled_at, u.issuer, u.subject`

const usersOfTenants = ` FROM users u JOIN tenants t ON t.name = u.tenant `

type scanner interface{ Scan(dest ...any) error }

func scanUser(row scanner) (u account.User, err error) {
	var created, disabled, login, ends, tenantDisabled int64
	var grant grantRow
	if err := row.Scan(append(append([]any{&u.Tenant, &u.Name, &u.Hash}, grant.into()...),
		&created, &u.Service, &disabled, &login, &u.OneTime, &ends, &tenantDisabled, &u.Issuer, &u.Subject)...); err != nil {
		return u, err
	}
	u.Created, u.Disabled, u.LastLogin = sqlstate.Time(created), sqlstate.Time(disabled), sqlstate.Time(login)
	u.PasswordEnds, u.TenantDisabled = sqlstate.Time(ends), sqlstate.Time(tenantDisabled)
	u.Grant, err = grant.grant(identity.User)
	return u, err
}

// User implements account.Users.
func (s *Store) User(ctx context.Context, tenant, name string) (account.User, error) {
	u, err := findUser(ctx, s.db, tenant, name)
	return u, wrap("find user", err)
}

func findUser(ctx context.Context, q sqlstate.Querier, tenant, name string) (account.User, error) {
	return scanUser(q.QueryRow(ctx, `SELECT `+userColumns+usersOfTenants+`WHERE u.tenant = ? AND u.name = ?`, tenant, name))
}

// SetHash implements account.Users.
func (s *Store) SetHash(ctx context.Context, u account.User, hash string) error {
	_, err := s.db.Exec(ctx, `UPDATE users SET password_hash = ? WHERE tenant = ? AND name = ? AND password_hash = ?`,
		hash, u.Tenant, u.Name, u.Hash)
	return wrap("renew password hash", err)
}

// Users lists the users of a tenant by name.
func (s *Store) Users(ctx context.Context, tenant string) ([]account.User, error) {
	all, err := sqlstate.All(ctx, s.db, func(rows *sql.Rows) (account.User, error) { return scanUser(rows) },
		`SELECT `+userColumns+usersOfTenants+`WHERE u.tenant = ? ORDER BY u.name LIMIT ?`, tenant, listLimit)
	return all, wrap("list users", err)
}

func noTenant(cause error, tenant string) error {
	return fault.NotFound.Wrap(cause, "tenant %q does not exist", tenant).WithReason("TENANT_MISSING")
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
