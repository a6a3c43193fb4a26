package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/settings"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// password is asked for on standard input when it is not given, so that it
// need not stand on a command line.
func password(given settings.Secret, con console) (string, error) {
	if given != "" {
		return given.Reveal(), nil
	}
	fmt.Fprint(con.err, "password: ")
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", fmt.Errorf("read password: %w", err)
	}
	return line, nil
}

type loginCmd struct {
	clientFlags
	Username string          `arg:"" help:"User."`
	Tenant   string          `help:"Tenant of the user." default:"default"`
	Password settings.Secret `help:"Password; file:PATH reads it from a file. Asked for when not given."`
}

// Run prints a token.
func (c loginCmd) Run(ctx context.Context, con console) error {
	secret, err := password(c.Password, con)
	if err != nil {
		return err
	}
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.Login,
		&authv1.LoginRequest{Tenant: c.Tenant, Username: c.Username, Password: secret}, func(w io.Writer, r *authv1.LoginResponse) {
			row(w, r.GetToken())
		})
}

type whoamiCmd struct{ clientFlags }

// Run prints the caller's identity.
func (c whoamiCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.WhoAmI,
		&authv1.WhoAmIRequest{}, func(w io.Writer, r *authv1.WhoAmIResponse) {
			row(w, "tenant", r.GetTenant())
			row(w, "subject", r.GetSubject())
			row(w, "kind", r.GetKind())
			row(w, "admin", r.GetAdmin())
		})
}

type tenantCmd struct {
	Create tenantCreateCmd `cmd:"" help:"Make a tenant."`
	List   tenantListCmd   `cmd:"" help:"List the tenants."`
}

type tenantCreateCmd struct {
	clientFlags
	Name string `arg:"" help:"1 to 63 of a-z, 0-9 and \"-\"."`
}

// Run makes the tenant.
func (c tenantCreateCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.CreateTenant,
		&authv1.CreateTenantRequest{Name: c.Name}, func(w io.Writer, r *authv1.CreateTenantResponse) {
			row(w, "made tenant", r.GetTenant().GetName())
		})
}

type tenantListCmd struct{ clientFlags }

// Run lists the tenants.
func (c tenantListCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.ListTenants,
		&authv1.ListTenantsRequest{}, func(w io.Writer, r *authv1.ListTenantsResponse) {
			row(w, "TENANT", "MADE")
			for _, t := range r.GetTenants() {
				row(w, t.GetName(), stamp(t.GetCreateTime()))
			}
		})
}

type userCmd struct {
	Create userCreateCmd `cmd:"" help:"Make a user."`
	List   userListCmd   `cmd:"" help:"List the users of the tenant."`
}

type userCreateCmd struct {
	clientFlags
	Username string          `arg:"" help:"User."`
	Tenant   string          `help:"Tenant; your own when not given."`
	Admin    bool            `help:"May administer the tenant."`
	Password settings.Secret `help:"Password of the new user; file:PATH reads it from a file. Asked for when not given."`
}

// Run makes the user.
func (c userCreateCmd) Run(ctx context.Context, con console) error {
	secret, err := password(c.Password, con)
	if err != nil {
		return err
	}
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.CreateUser,
		&authv1.CreateUserRequest{Tenant: c.Tenant, Username: c.Username, Password: secret, Admin: c.Admin}, func(w io.Writer, r *authv1.CreateUserResponse) {
			row(w, "made user", r.GetUser().GetUsername(), "of tenant", r.GetUser().GetTenant())
		})
}

type userListCmd struct{ clientFlags }

// Run lists the users.
func (c userListCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.ListUsers,
		&authv1.ListUsersRequest{}, func(w io.Writer, r *authv1.ListUsersResponse) {
			row(w, "USER", "TENANT", "ADMIN", "MADE")
			for _, u := range r.GetUsers() {
				row(w, u.GetUsername(), u.GetTenant(), u.GetAdmin(), stamp(u.GetCreateTime()))
			}
		})
}

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make an API key; it is shown this once."`
	List   keyListCmd   `cmd:"" help:"List the API keys of the tenant."`
	Revoke keyRevokeCmd `cmd:"" help:"End an API key."`
}

type keyCreateCmd struct {
	clientFlags
	Name   string        `arg:"" help:"What people call it."`
	Tenant string        `help:"Tenant; your own when not given."`
	Admin  bool          `help:"May administer the tenant."`
	Life   time.Duration `help:"How long it is good for; 0 for ever." default:"0"`
}

// Run makes the key.
func (c keyCreateCmd) Run(ctx context.Context, con console) error {
	req := &authv1.CreateAPIKeyRequest{Name: c.Name, Tenant: c.Tenant, Admin: c.Admin}
	if c.Life > 0 {
		req.ExpireTime = timestamppb.New(time.Now().Add(c.Life))
	}
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.CreateAPIKey,
		req, func(w io.Writer, r *authv1.CreateAPIKeyResponse) {
			row(w, r.GetKey())
		})
}

type keyListCmd struct{ clientFlags }

// Run lists the keys.
func (c keyListCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.ListAPIKeys,
		&authv1.ListAPIKeysRequest{}, func(w io.Writer, r *authv1.ListAPIKeysResponse) {
			row(w, "ID", "NAME", "TENANT", "ADMIN", "MADE", "ENDS")
			for _, k := range r.GetApiKeys() {
				row(w, k.GetId(), k.GetName(), k.GetTenant(), k.GetAdmin(), stamp(k.GetCreateTime()), stamp(k.GetExpireTime()))
			}
		})
}

type keyRevokeCmd struct {
	clientFlags
	ID string `arg:"" help:"Id of the key."`
}

// Run ends the key.
func (c keyRevokeCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.RevokeAPIKey,
		&authv1.RevokeAPIKeyRequest{Id: c.ID}, func(w io.Writer, _ *authv1.RevokeAPIKeyResponse) {
			row(w, "revoked", c.ID)
		})
}

// stamp writes a time for a table, "-" when there is none.
func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}
