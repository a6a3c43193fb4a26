package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
)

type loginCmd struct {
	connectFlags
	passwordFlags
	Username string `arg:"" optional:"" help:"User; with --oidc or --device the provider, which need not be named where there is one."`
	Tenant   string `help:"Tenant of the user." default:"default"`
	Print    bool   `help:"Print an access token, for programs, instead of keeping the login."`

	OIDC         bool   `name:"oidc" help:"Log in at an OpenID provider, with a browser on this machine." xor:"way"`
	Device       bool   `help:"Log in at an OpenID provider, with a browser anywhere." xor:"way"`
	WorkloadFile string `name:"workload-token-file" help:"Exchange the token in this file, which a provider gave this workload; it is read again when the mesh's token ends." xor:"way" placeholder:"FILE"`
}

// Run logs in.
func (c loginCmd) Run(ctx context.Context, con console) error {
	conn, err := c.dialAsNobody()
	if err != nil {
		return err
	}
	defer conn.Close()
	auth := authv1.NewAuthServiceClient(conn)
	switch {
	case c.OIDC:
		return c.browser(ctx, con, auth)
	case c.Device:
		return c.device(ctx, con, auth)
	case c.WorkloadFile != "":
		return c.workload(ctx, con, auth)
	case c.Username == "":
		return fault.Invalid.New("name the user, or log in with --oidc, --device or --workload-token-file")
	}
	return c.password(ctx, con, auth)
}

// password logs in with one. One that was given by somebody else is changed at once.
func (c loginCmd) password(ctx context.Context, con console, auth authv1.AuthServiceClient) error {
	secrets := c.open(con)
	password, err := secrets.read("password")
	if err != nil {
		return err
	}
	device := c.knownDevice(c.Tenant, c.Username)
	login, err := auth.Login(ctx, &authv1.LoginRequest{Tenant: c.Tenant, Username: c.Username, Password: password, Device: device})
	if err != nil && fault.Of(err).Reason() == "PASSWORD_CHANGE_REQUIRED" {
		fmt.Fprintln(con.err, "The password was given by somebody else. Choose your own.")
		login, err = change(ctx, auth, secrets, &authv1.ChangePasswordRequest{
			Tenant: c.Tenant, Username: c.Username, Password: password, Device: device,
		})
	}
	if err != nil {
		return err
	}
	return c.in(con, c.Tenant, c.Username, login)
}

// in keeps a login, or prints its token.
func (c loginCmd) in(con console, tenant, user string, login *authv1.LoginResponse) error {
	if c.Print {
		fmt.Fprintln(con.out, login.GetToken())
		return nil
	}
	if err := c.keep(tenant, user, login); err != nil {
		return err
	}
	fmt.Fprintf(con.err, "logged in to %s as %s of tenant %s until %s\n", safe(c.Addr, true), safe(user, true), safe(tenant, true), stamp(login.GetSessionExpireTime()))
	return nil
}

// change asks for a new password and sets it.
func change(ctx context.Context, auth authv1.AuthServiceClient, from *secrets, req *authv1.ChangePasswordRequest) (*authv1.LoginResponse, error) {
	var err error
	if req.NewPassword, err = from.choose("new password"); err != nil {
		return nil, err
	}
	resp, err := auth.ChangePassword(ctx, req)
	return resp.GetLogin(), err
}

type passwordCmd struct {
	connectFlags
	passwordFlags
	Username string `arg:"" optional:"" help:"User; whoever is logged in when not given."`
	Tenant   string `help:"Tenant of the user; that of whoever is logged in when not given."`
}

// Run changes the user's own password.
func (c passwordCmd) Run(ctx context.Context, con console) error {
	tenant, user, err := c.who()
	if err != nil {
		return err
	}
	conn, err := c.dialAsNobody()
	if err != nil {
		return err
	}
	defer conn.Close()
	secrets := c.open(con)
	old, err := secrets.read("password so far")
	if err != nil {
		return err
	}
	login, err := change(ctx, authv1.NewAuthServiceClient(conn), secrets, &authv1.ChangePasswordRequest{
		Tenant: tenant, Username: user, Password: old, Device: c.knownDevice(tenant, user),
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(con.err, "the password was changed; all other sessions have ended")
	return c.keep(tenant, user, login)
}

// who is whose password is meant.
func (c passwordCmd) who() (tenant, user string, err error) {
	if c.Username != "" && c.Tenant != "" {
		return c.Tenant, c.Username, nil
	}
	ring, err := c.keyring()
	if err != nil {
		return "", "", err
	}
	kept, err := ring.read()
	if err != nil {
		return "", "", err
	}
	login := kept.Meshes[c.Addr]
	switch {
	case login != nil && (c.Username == "" || c.Username == login.User) && (c.Tenant == "" || c.Tenant == login.Tenant):
		return login.Tenant, login.User, nil
	case c.Username == "":
		return "", "", fault.Invalid.New("nobody is logged in at %s: name the user", c.Addr)
	}
	return "default", c.Username, nil
}

type logoutCmd struct{ connectFlags }

// Run ends the session, and forgets it also when the mesh cannot be reached.
func (c logoutCmd) Run(ctx context.Context, con console) error {
	ring, err := c.keyring()
	if err != nil {
		return err
	}
	var login *keptLogin
	if err := ring.update(func(kept *keptLogins) error {
		login = kept.Meshes[c.Addr]
		delete(kept.Meshes, c.Addr)
		return nil
	}); err != nil {
		return err
	}
	if login == nil {
		fmt.Fprintln(con.err, "nobody was logged in")
		return nil
	}
	conn, err := c.dialAsNobody()
	if err != nil {
		return err
	}
	defer conn.Close()
	if login.Refresh == "" {
		fmt.Fprintf(con.err, "the login is forgotten; its token lasts until %s\n", login.Expires.UTC().Format(time.RFC3339))
		return nil
	}
	if _, err := authv1.NewAuthServiceClient(conn).Logout(ctx, &authv1.LogoutRequest{RefreshToken: login.Refresh}); err != nil {
		return fault.Unavailable.Wrap(err, "the login is forgotten here, but the mesh was not told: the session lasts until %s", login.Ends.UTC().Format("2006-01-02"))
	}
	fmt.Fprintln(con.err, "logged out")
	return nil
}

type tokenCmd struct{ connectFlags }

// Run prints an access token of the login that is kept.
func (c tokenCmd) Run(ctx context.Context, con console) error {
	token, err := c.keptToken(ctx)
	if err != nil {
		return err
	}
	if token == "" {
		return fault.Unauthenticated.New("nobody is logged in at %s: driftmesh login", c.Addr)
	}
	fmt.Fprintln(con.out, token)
	return nil
}

type authCmd struct {
	RotateKeys    rotateKeysCmd    `cmd:"" help:"Make the key that signs the next tokens. Those given out before stay good."`
	ResetPassword resetPasswordCmd `cmd:"" help:"Give a user a new password on the server's own machine, when nobody can log in any more."`
}

type rotateKeysCmd struct{ clientFlags }

// Run makes the next signing key.
func (c rotateKeysCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, authv1.NewAuthServiceClient, authv1.AuthServiceClient.RotateSigningKeys,
		&authv1.RotateSigningKeysRequest{}, func(w io.Writer, r *authv1.RotateSigningKeysResponse) {
			row(w, "key", r.GetKeyId(), "signs from", stamp(r.GetSignTime()))
		})
}
