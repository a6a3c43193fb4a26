package store_test

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
)

// Users and keys of the release before have roles once the schema is brought up
// to date, and so have those that a replica of that release still makes.
func TestRolesOfThoseWhoHadNone(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx := t.Context()
		db, err := sqlstate.Open(ctx, url, store.Schema)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		all, err := store.Migrations()
		require.NoError(t, err)
		first, err := fs.ReadFile(all, "0001_accounts.sql")
		require.NoError(t, err)
		require.NoError(t, db.Migrate(ctx, fstest.MapFS{"0001_accounts.sql": {Data: first}}))
		for _, statement := range []string{
			`INSERT INTO tenants (name, created_at) VALUES ('acme', 1)`,
			`INSERT INTO users (tenant, name, password_hash, admin, created_at, created_by) VALUES ('acme', 'ann', 'h', TRUE, 1, 't')`,
			`INSERT INTO users (tenant, name, password_hash, admin, created_at, created_by) VALUES ('acme', 'bob', 'h', FALSE, 1, 't')`,
			`INSERT INTO api_keys (id, tenant, name, secret_hash, admin, created_at, created_by, expires_at, revoked_at) VALUES ('k1', 'acme', 'x', 'h', TRUE, 1, 't', 0, 0)`,
			`INSERT INTO api_keys (id, tenant, name, secret_hash, admin, created_at, created_by, expires_at, revoked_at) VALUES ('k2', 'acme', 'x', 'h', FALSE, 1, 't', 0, 0)`,
		} {
			_, err := db.Exec(ctx, statement)
			require.NoError(t, err, statement)
		}
		require.NoError(t, db.Migrate(ctx, all))
		_, err = db.Exec(ctx, `INSERT INTO users (tenant, name, password_hash, admin, created_at, created_by) VALUES ('acme', 'cat', 'h', TRUE, 1, 't')`)
		require.NoError(t, err)

		s := store.New(db)
		for name, role := range map[string]policy.Role{"ann": policy.Admin, "bob": policy.Editor, "cat": policy.Admin} {
			u, err := s.User(ctx, "acme", name)
			require.NoError(t, err)
			require.Equal(t, policy.As(role), u.Grant, name)
		}
		for id, role := range map[string]policy.Role{"k1": policy.Admin, "k2": policy.Editor} {
			k, err := s.Key(ctx, id)
			require.NoError(t, err)
			require.Equal(t, policy.As(role), k.Grant, id)
		}
	})
}
