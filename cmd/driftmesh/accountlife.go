package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

// accountFlags name a user or a service account.
type accountFlags struct {
	clientFlags
	Username string `arg:"" help:"User or service account."`
	Tenant   string `help:"Tenant; your own when not given."`
}

type userDisableCmd struct{ accountFlags }

// Run keeps the account out.
func (c userDisableCmd) Run(ctx context.Context, con console) error { return c.disable(ctx, con, true) }

type userEnableCmd struct{ accountFlags }

// Run lets the account in again.
func (c userEnableCmd) Run(ctx context.Context, con console) error { return c.disable(ctx, con, false) }

func (c accountFlags) disable(ctx context.Context, con console, disabled bool) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.SetUserDisabled,
		&authv1.SetUserDisabledRequest{Tenant: c.Tenant, Username: c.Username, Disabled: disabled},
		func(w io.Writer, _ *authv1.SetUserDisabledResponse) { row(w, abled(disabled), "user", c.Username) })
}

func abled(disabled bool) string {
	if disabled {
		return "disabled"
	}
	return "enabled"
}

type userDeleteCmd struct{ accountFlags }

// Run deletes the account.
func (c userDeleteCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.DeleteUser,
		&authv1.DeleteUserRequest{Tenant: c.Tenant, Username: c.Username},
		func(w io.Writer, _ *authv1.DeleteUserResponse) { row(w, "deleted user", c.Username) })
}

type userRoleCmd struct {
	accountFlags
	Role  string   `arg:"" help:"ingest, viewer, editor, operator or admin; see driftmesh policy."`
	Space []string `help:"Only profiles, alerts and records of this space; may be given again." placeholder:"SPACE"`
}

// Run changes the role.
func (c userRoleCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.SetUserRole,
		&authv1.SetUserRoleRequest{Tenant: c.Tenant, Username: c.Username, Role: c.Role, Spaces: c.Space},
		func(w io.Writer, r *authv1.SetUserRoleResponse) {
			row(w, r.GetUser().GetUsername(), "of tenant", r.GetUser().GetTenant(), "is", r.GetUser().GetRole())
		})
}

type userResetCmd struct{ accountFlags }

// Run prints the password.
func (c userResetCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.ResetPassword,
		&authv1.ResetPasswordRequest{Tenant: c.Tenant, Username: c.Username},
		func(w io.Writer, r *authv1.ResetPasswordResponse) { row(w, r.GetPassword()) })
}

// tenantFlags name a tenant.
type tenantFlags struct {
	clientFlags
	Name string `arg:"" help:"Tenant."`
}

type tenantDisableCmd struct{ tenantFlags }

// Run keeps everybody of the tenant out.
func (c tenantDisableCmd) Run(ctx context.Context, con console) error {
	return c.disable(ctx, con, true)
}

type tenantEnableCmd struct{ tenantFlags }

// Run lets them in again.
func (c tenantEnableCmd) Run(ctx context.Context, con console) error {
	return c.disable(ctx, con, false)
}

func (c tenantFlags) disable(ctx context.Context, con console, disabled bool) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.SetTenantDisabled,
		&authv1.SetTenantDisabledRequest{Name: c.Name, Disabled: disabled},
		func(w io.Writer, _ *authv1.SetTenantDisabledResponse) { row(w, abled(disabled), "tenant", c.Name) })
}

type tenantDeleteCmd struct {
	tenantFlags
	Yes bool `help:"Say that it is meant: there is no way back."`
}

// Run deletes the tenant.
func (c tenantDeleteCmd) Run(ctx context.Context, con console) error {
	if !c.Yes {
		return errors.New("there is no way back from this; say --yes, or see tenant disable")
	}
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.DeleteTenant,
		&authv1.DeleteTenantRequest{Name: c.Name},
		func(w io.Writer, _ *authv1.DeleteTenantResponse) { row(w, "deleted tenant", c.Name) })
}

type keyRotateCmd struct {
	clientFlags
	ID      string        `arg:"" help:"Id of the key."`
	Overlap time.Duration `help:"How long the old key stays good." default:"24h"`
}

// Run prints the new key.
func (c keyRotateCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.RotateAPIKey,
		&authv1.RotateAPIKeyRequest{Id: keyID(c.ID), Overlap: durationpb.New(c.Overlap)}, func(w io.Writer, r *authv1.RotateAPIKeyResponse) {
			row(w, r.GetKey())
		})
}

// keyID takes the id out of what a key begins with, too.
func keyID(text string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(text, "dm_"), "_")
	return id
}

func userKind(u *authv1.User) string {
	if u.GetServiceAccount() {
		return "service account"
	}
	return "user"
}

func userState(u *authv1.User) string {
	switch {
	case u.GetDisableTime() != nil:
		return "disabled"
	case u.GetMustChangePassword():
		return "must change password"
	}
	return "active"
}

// dash stands for nothing in a table.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
