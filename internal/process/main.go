// Package process is everything about being a process, so that services need
// not know: settings, signals, log, metrics, health, and the order in which
// things start and stop.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/driftmesh/driftmesh/internal/settings"
)

// Sections are the top-level keys of driftmesh.yaml that belong to services.
// One file serves every program; each reads its own section and lets the
// others be.
var Sections = []string{"gateway", "auth", "ingest-worker", "drift", "trace-store"}

// allInOne are the top-level keys that only the all-in-one reads.
var allInOne = []string{"data-dir", "nats", "engine", "demo"}

// Version of this build; the linker sets it.
var Version = "dev"

// closeTimeout bounds what is left to do after the services have stopped.
const closeTimeout = 5 * time.Second

// Main runs one service as a program of its own and never returns. run serves
// until its context ends, which SIGINT or SIGTERM brings about; a second
// signal ends the process at once.
func Main[C any](name string, run func(context.Context, C, Env) error) {
	os.Exit(serve(name, run, os.Args[1:], os.Stdout, os.Stderr))
}

func serve[C any](name string, run func(context.Context, C, Env) error, args []string, stdout, stderr io.Writer) int {
	var cli struct {
		Shared
		Version bool `help:"Print the version and stop."`
		Check   bool `help:"Check the settings and stop."`
		Probe   bool `help:"Ask the one that runs with these settings whether it is ready, and stop."`
	}
	var cfg C
	foreign := slices.DeleteFunc(slices.Clone(Sections), func(s string) bool { return s == name })
	kctx, err := settings.Parse(settings.Program{
		Name: name, Description: "driftmesh " + name + ", a service of the mesh.", Section: name,
		Foreign: append(foreign, allInOne...), Vars: Defaults, Args: args, Stdout: stdout, Stderr: stderr, Exit: os.Exit,
	}, &cli, &cfg)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 2
	}
	if cli.InForce, err = settings.Of(kctx); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 2
	}
	ctx, stop := Signals(context.Background())
	defer stop()
	switch {
	case cli.Version:
		fmt.Fprintln(stdout, Version)
		return 0
	case cli.Check:
		fmt.Fprintln(stdout, "the settings are valid")
		return 0
	case cli.Probe:
		if err := probe(ctx, cli.Shared.Admin); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return 1
		}
		return 0
	}
	if err := runService(ctx, name, run, cfg, cli.Shared, stderr); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

func runService[C any](ctx context.Context, name string, run func(context.Context, C, Env) error, cfg C, shared Shared, stderr io.Writer) error {
	env, err := NewEnv(ctx, shared, stderr)
	if err != nil {
		return err
	}
	own := env.For(name)
	own.Log.Info("starting", "version", Version, "instance", env.Instance)
	group := NewGroup(own.Log)
	group.Add("admin", env.ServeAdmin)
	group.Add(name, func(ctx context.Context) error { return run(ctx, cfg, own) })
	context.AfterFunc(ctx, env.Stopping)
	err = group.Run(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if closeErr := env.Close(last); closeErr != nil && err == nil {
		own.Log.Warn("last own spans were not sent", "err", closeErr.Error())
	}
	own.Log.Info("stopped")
	return err
}

// Signals returns a context that ends at the first SIGINT or SIGTERM. After
// that the signals have their usual effect again, so a second one kills.
func Signals(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// Stopped reports whether err only says that a context ended.
func Stopped(err error) bool { return err == nil || errors.Is(err, context.Canceled) }
