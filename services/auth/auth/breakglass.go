package auth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/services/auth/internal/account"
	"github.com/driftmesh/driftmesh/services/auth/internal/store"
)

// breakGlassLife is how long a password is good that was made on the server's own
// machine: whoever made it is there.
const breakGlassLife = time.Hour

// BreakGlass gives a user a password that is good for choosing another, and lets
// the user in again if it was disabled, by changing the state itself, whether auth
// runs or not: for whoever has the server's machine and nobody's password. The
// first administrator is made anew if it was deleted. All that the user had before
// ends, and stands among the revocations.
func BreakGlass(ctx context.Context, stateURL, tenant, name string) (password string, ends time.Time, err error) {
	state, err := sqlstate.Open(ctx, stateURL, store.Schema)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("open state (setting sql.url): %w", err)
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	migrations, err := store.Migrations()
	if err != nil {
		return "", time.Time{}, err
	}
	if err := state.Migrate(ctx, migrations); err != nil {
		return "", time.Time{}, err
	}
	password, ends = account.NewPassword(), moment().Add(breakGlassLife)
	hash, err := account.NewHasher(account.HashParams{}).Hash(ctx, account.Place{Known: true}, password)
	if err != nil {
		return "", time.Time{}, err
	}
	accounts := store.New(state)
	if err := accounts.AppendAudit(ctx, []audit.Entry{broken(tenant, name)}); err != nil {
		return "", time.Time{}, err
	}
	err = accounts.SetPassword(ctx, tenant, name, store.Password{Hash: hash, OneTime: true, Ends: ends})
	switch {
	case err == nil:
		err = accounts.DisableUser(ctx, tenant, name, time.Time{})
	case errors.Is(err, fault.NotFound) && tenant == identity.MeshTenant && name == FirstAdmin:
		err = firstAdmin(ctx, accounts, account.User{Hash: hash, OneTime: true, PasswordEnds: ends})
	}
	if err != nil {
		return "", time.Time{}, err
	}
	return password, ends, nil
}

// broken is what the account of who did what says of it, before it is done.
func broken(tenant, name string) audit.Entry {
	e := audit.Entry{
		ID: uuid.NewString(), Time: moment(), Tenant: tenant, Actor: strconv.Itoa(os.Getuid()), Kind: "local", Source: "local",
		Action: "reset-password", Object: "username=" + name, Outcome: audit.OK,
	}
	if who, err := user.Current(); err == nil {
		e.Actor = who.Username
	}
	e.Trim()
	return e
}

// firstAdmin makes the first administrator.
func firstAdmin(ctx context.Context, accounts *store.Store, admin account.User) error {
	now := moment()
	if err := accounts.EnsureTenant(ctx, account.Tenant{Name: identity.MeshTenant, Created: now}); err != nil {
		return err
	}
	admin.Tenant, admin.Name, admin.Grant, admin.Created = identity.MeshTenant, FirstAdmin, policy.As(policy.Admin), now
	return accounts.AddUser(ctx, admin, "break-glass")
}
