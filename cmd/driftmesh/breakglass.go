package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/services/auth/auth"
)

type resetPasswordCmd struct {
	Username string `arg:"" optional:"" help:"User." default:"admin"`
	Tenant   string `help:"Tenant of the user." default:"driftmesh"`
	Out      string `help:"Write the password to this new file, which nobody else can read, instead of showing it." placeholder:"FILE"`

	DataDir string `help:"Where the mesh keeps everything, as for up." default:"${data_dir}" placeholder:"DIR"`
	SQL     struct {
		URL settings.Secret `secret:"url" help:"State of accounts, as for up." default:"${sql_url}" placeholder:"URL"`
	} `embed:"" prefix:"sql."`
}

// Run gives the user a password by changing the state of the accounts itself.
func (c resetPasswordCmd) Run(ctx context.Context, con console) error {
	url := c.SQL.URL.Reveal()
	if url == embeddedURL {
		dir := filepath.Join(c.DataDir, "state")
		// Opening would make the file: a password in the wrong place helps nobody.
		if _, err := os.Stat(filepath.Join(dir, "auth.db")); err != nil {
			return fmt.Errorf("find the state (--data-dir or --sql.url): %w", err)
		}
		url = "sqlite:" + dir
	}
	out := con.out
	if c.Out != "" {
		file, err := os.OpenFile(c.Out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("make file for the password: %w", err)
		}
		defer file.Close() //nolint:errcheck // Fprintln says it
		out = file
	}
	password, ends, err := auth.BreakGlass(ctx, url, c.Tenant, c.Username)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, password); err != nil {
		return fmt.Errorf("write the password: %w", err)
	}
	fmt.Fprintf(con.err, "The password is good until %s for choosing another: driftmesh login %s --tenant %s\nAll sessions of the user have ended.\n",
		ends.Format("15:04 MST"), safe(c.Username, true), safe(c.Tenant, true))
	return nil
}
