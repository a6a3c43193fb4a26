package main

import (
	"context"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

type whoamiCmd struct{ clientFlags }

// Run prints the caller's identity.
func (c whoamiCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.WhoAmI,
		&authv1.WhoAmIRequest{}, func(w io.Writer, r *authv1.WhoAmIResponse) {
			row(w, "tenant", r.GetTenant())
			row(w, "subject", r.GetSubject())
			row(w, "kind", r.GetKind())
			row(w, "role", r.GetRole())
			row(w, "spaces", listed(r.GetSpaces(), "all"))
			row(w, "permissions", listed(r.GetPermissions(), "none"))
		})
}

type tenantCmd struct {
	Create tenantCreateCmd `cmd:"" help:"Make a tenant."`
	List   tenantListCmd   `cmd:"" help:"List the tenants."`

	Disable tenantDisableCmd `cmd:"" help:"Keep everybody of a tenant out."`
	Enable  tenantEnableCmd  `cmd:"" help:"Let them in again."`
	Delete  tenantDeleteCmd  `cmd:"" help:"Delete a tenant with its users and keys. Its telemetry stays until its time is up; its name is never given again."`

	Limits struct {
		Show tenantLimitsShowCmd `cmd:"" help:"Show what a tenant may use."`
		Set  tenantLimitsSetCmd  `cmd:"" help:"Set what a tenant may use. It holds everywhere within seconds."`
	} `cmd:"" help:"What tenants may use (docs/limits.md)."`
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
			row(w, "TENANT", "MADE", "DISABLED")
			for _, t := range r.GetTenants() {
				row(w, t.GetName(), stamp(t.GetCreateTime()), stamp(t.GetDisableTime()))
			}
		})
}

type userCmd struct {
	Create userCreateCmd `cmd:"" help:"Make a user."`
	List   userListCmd   `cmd:"" help:"List the users of the tenant."`

	Disable       userDisableCmd `cmd:"" help:"Keep a user or service account out: sessions, tokens and keys end."`
	Enable        userEnableCmd  `cmd:"" help:"Let it in again."`
	Delete        userDeleteCmd  `cmd:"" help:"Delete a user or service account."`
	SetRole       userRoleCmd    `cmd:"" help:"Change what a user may do: sessions and tokens end."`
	ResetPassword userResetCmd   `cmd:"" help:"Give a user a password that is good for choosing another, within a day."`
}

type userCreateCmd struct {
	clientFlags
	passwordFlags
	Username string   `arg:"" help:"User."`
	Tenant   string   `help:"Tenant; your own when not given."`
	Role     string   `help:"What the user may do: ingest, viewer, editor, operator or admin; see driftmesh policy." default:"viewer"`
	Space    []string `help:"Only profiles, alerts and records of this space; may be given again." placeholder:"SPACE"`
	Admin    bool     `help:"The same as --role admin."`
	Service  bool     `help:"Make a service account: it has no password but API keys (key create --account)."`
}

// Run makes the user.
func (c userCreateCmd) Run(ctx context.Context, con console) error {
	req := &authv1.CreateUserRequest{Tenant: c.Tenant, Username: c.Username, Role: roleOf(c.Role, c.Admin), Spaces: c.Space, ServiceAccount: c.Service}
	if !c.Service {
		var err error
		if req.Password, err = c.open(con).choose("password of " + safe(c.Username, true)); err != nil {
			return err
		}
	}
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.CreateUser,
		req, func(w io.Writer, r *authv1.CreateUserResponse) {
			row(w, "made user", r.GetUser().GetUsername(), "of tenant", r.GetUser().GetTenant(), "as", r.GetUser().GetRole())
		})
}

type userListCmd struct{ clientFlags }

// Run lists the users.
func (c userListCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.ListUsers,
		&authv1.ListUsersRequest{}, func(w io.Writer, r *authv1.ListUsersResponse) {
			row(w, "USER", "TENANT", "ROLE", "SPACES", "KIND", "STATE", "MADE", "LAST LOGIN", "ISSUER", "SUBJECT")
			for _, u := range r.GetUsers() {
				row(w, u.GetUsername(), u.GetTenant(), u.GetRole(), listed(u.GetSpaces(), "all"), userKind(u), userState(u), stamp(u.GetCreateTime()), stamp(u.GetLastLoginTime()),
					dash(u.GetIssuer()), dash(u.GetSubject()))
			}
		})
}

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make an API key; it is shown this once."`
	List   keyListCmd   `cmd:"" help:"List the API keys of the tenant."`
	Rotate keyRotateCmd `cmd:"" help:"Make an API key that takes the place of another, which stays good for a while."`
	Revoke keyRevokeCmd `cmd:"" help:"End an API key now."`
}

type keyCreateCmd struct {
	clientFlags
	Name    string        `arg:"" help:"What people call it."`
	Tenant  string        `help:"Tenant; your own when not given."`
	Role    string        `help:"What the key may do: ingest sends and nothing else; or viewer, editor, operator, admin; see driftmesh policy." default:"ingest"`
	Only    []string      `name:"permission" help:"Only this permission of the role, such as spans.write; may be given again." placeholder:"PERMISSION"`
	Space   []string      `help:"Only profiles, alerts and records of this space; may be given again." placeholder:"SPACE"`
	Admin   bool          `help:"The same as --role admin."`
	Life    time.Duration `help:"How long it is good for; as the mesh is set (auth.key-life) when not given."`
	Ever    bool          `help:"It never ends."`
	Account string        `help:"Service account that it is for." placeholder:"NAME"`
}

// Run makes the key.
func (c keyCreateCmd) Run(ctx context.Context, con console) error {
	req := &authv1.CreateAPIKeyRequest{Name: c.Name, Tenant: c.Tenant, Role: roleOf(c.Role, c.Admin), Permissions: c.Only, Spaces: c.Space, NoExpiry: c.Ever, ServiceAccount: c.Account}
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
			row(w, "ID", "NAME", "TENANT", "ROLE", "PERMISSIONS", "SPACES", "FOR", "MADE", "BY", "ENDS", "LAST USED", "REPLACED BY")
			for _, k := range r.GetApiKeys() {
				row(w, k.GetId(), k.GetName(), k.GetTenant(), k.GetRole(), listed(k.GetPermissions(), "all"), listed(k.GetSpaces(), "all"), dash(k.GetServiceAccount()), stamp(k.GetCreateTime()), k.GetCreatedBy(),
					stamp(k.GetExpireTime()), stamp(k.GetLastUseTime()), dash(k.GetReplacedBy()))
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
		&authv1.RevokeAPIKeyRequest{Id: keyID(c.ID)}, func(w io.Writer, _ *authv1.RevokeAPIKeyResponse) {
			row(w, "revoked", keyID(c.ID))
		})
}

// roleOf is a role, or what was said before there were roles.
func roleOf(role string, admin bool) string {
	if admin {
		return "admin"
	}
	return role
}

// listed joins names, or says what it means that there are none.
func listed(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ",")
}

// stamp writes a time for a table, "-" when there is none.
func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}
