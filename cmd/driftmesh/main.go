// Command driftmesh is the whole mesh in one program, and the client for it.
//
// "driftmesh up" runs the five services in one process, with a message broker
// and a ClickHouse engine of its own. The services do not know that they share
// a process: they find one another through the same settings as anywhere else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/settings"
)

// Exit codes: what a script can rely on.
const (
	exitOK    = 0
	exitError = 1 // the command ran and failed
	exitUsage = 2 // the command line or a setting is wrong
	exitDrift = 3 // something drifted, and the caller wants to know
)

type cli struct {
	Up      upCmd       `cmd:"" help:"Run the whole mesh in this process."`
	Demo    demoCmd     `cmd:"" help:"Run the mesh with a sample load whose data drifts after a while."`
	Profile profileCmd  `cmd:"" help:"Make, list and show drift profiles."`
	Drift   driftCmd    `cmd:"" help:"Evaluate drift and show scores."`
	Alerts  alertsCmd   `cmd:"" help:"List and acknowledge alerts."`
	Traces  tracesCmd   `cmd:"" help:"Find and show traces."`
	SQL     sqlCmd      `cmd:"" name:"sql" help:"Ask about spans in SQL."`
	Records recordsCmd  `cmd:"" help:"Send and watch records."`
	Ledger  ledgerCmd   `cmd:"" help:"Show what became of everything that was accepted."`
	DLQ     dlqCmd      `cmd:"" name:"dlq" help:"Look at messages that could not be handled, and redrive them."`
	Topics  topicsCmd   `cmd:"" help:"Show how the broker's topics are doing."`
	Login   loginCmd    `cmd:"" help:"Log in; later commands are the user's."`
	Logout  logoutCmd   `cmd:"" help:"End the session."`
	Passwd  passwordCmd `cmd:"" help:"Change your own password."`
	Token   tokenCmd    `cmd:"" help:"Print an access token of the login, for other programs."`
	Whoami  whoamiCmd   `cmd:"" help:"Show who the mesh takes you for."`
	Tenant  tenantCmd   `cmd:"" help:"Make, list, disable and delete tenants."`
	User    userCmd     `cmd:"" help:"Make, list, disable and delete users and service accounts, reset passwords."`
	Key     keyCmd      `cmd:"" help:"Make, list, rotate and revoke API keys."`
	Auth    authCmd     `cmd:"" help:"Rotate the keys that sign tokens; get back in."`
	Audit   auditCmd    `cmd:"" help:"Show who did what, and prove that the account of it is whole."`
	Policy  policyCmd   `cmd:"" help:"Print what each method and route asks for, and which roles may."`
	Certs   certsCmd    `cmd:"" help:"Make, renew and show the certificates of a mesh."`
	Scouter scouterCmd  `cmd:"" help:"Move from Scouter."`
	Secret  secretCmd   `cmd:"" help:"Change the mesh secret."`
	Config  configCmd   `cmd:"" help:"Check settings, or print them."`
	Version versionCmd  `cmd:"" help:"Print the version."`
	Engine  engineCmd   `cmd:"" hidden:"" help:"The ClickHouse engine, as a child of up."`
}

// console is where a command writes: where nothing controls a terminal (see
// safeWriter).
type console struct {
	out, err io.Writer
	in       io.Reader // nil is nothing
}

func main() {
	ctx, stop := process.Signals(context.Background())
	code := run(ctx, os.Args[1:], console{safeWriter{os.Stdout}, safeWriter{os.Stderr}, os.Stdin})
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, con console) int {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	var c cli
	kctx, err := settings.Parse(settings.Program{
		Name:        "driftmesh",
		Description: "Traces and drift in one self-hosted mesh. Begin with: driftmesh up",
		Vars: map[string]string{
			"broker_url": embeddedURL, "clickhouse_url": embeddedURL, "sql_url": embeddedURL, "data_dir": "./data",
			"log_level": "warn", // a person is watching
			"memory":    "256MiB", "detectors": detectorNames(),
		},
		Args: args, Stdout: con.out, Stderr: con.err, Exit: os.Exit,
	}, &c, nil)
	if err != nil {
		fmt.Fprintf(con.err, "driftmesh: %v\n", err)
		return exitUsage
	}
	kctx.BindTo(ctx, (*context.Context)(nil))
	kctx.Bind(con)
	if err := kctx.Run(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(con.err, "driftmesh: %s\n", explain(err))
		if errors.Is(err, errDrifted) {
			return exitDrift
		}
		return exitError
	}
	return exitOK
}

// explain is the error as a user should read it: the message of a fault that a
// server sent, the whole chain where the trouble is on this side.
func explain(err error) string {
	if f, ok := err.(*fault.Fault); ok { //nolint:errorlint // a fault around others is not a server's answer
		if message := f.Message(); strings.Contains(message, f.Kind().Error()) {
			return message
		}
		return f.Kind().Error() + ": " + f.Message()
	}
	return err.Error()
}

type versionCmd struct {
	JSON bool `help:"As JSON."`
}

// Run prints the version.
func (v versionCmd) Run(con console) error {
	if v.JSON {
		_, err := fmt.Fprintf(con.out, "{\"version\":%q}\n", process.Version)
		return err
	}
	_, err := fmt.Fprintln(con.out, process.Version)
	return err
}
