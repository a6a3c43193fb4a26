package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type configCmd struct {
	Check     configCheckCmd     `cmd:"" help:"Check the settings that up would use."`
	Reference configReferenceCmd `cmd:"" help:"Print the reference of all settings as Markdown."`
}

type configCheckCmd struct {
	upCmd
}

// Run is reached only when every setting is known and can be read. What services
// say at their start it asks them.
func (c *configCheckCmd) Run(con console) error {
	var errs []error
	for _, part := range []any{c.Shared, c.Gateway, c.Auth, c.IngestWorker, c.Drift, c.TraceStore} {
		if v, ok := part.(interface{ Validate() error }); ok {
			errs = append(errs, v.Validate())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err := fmt.Fprintln(con.out, "the settings are valid")
	return err
}

type configReferenceCmd struct{}

// Run writes docs/config.md from the settings themselves.
func (configReferenceCmd) Run(_ context.Context, con console, app *kong.Kong) error {
	fmt.Fprint(con.out, `# Settings

Made by `+"`make generate`"+` from the programs' own settings; do not edit.

One setting has one name: the flag `+"`--broker.url`"+`, the variable `+"`DRIFTMESH_BROKER_URL`"+` and the key
`+"`url`"+` under `+"`broker`"+` in `+"`driftmesh.yaml`"+` are the same thing, in the all-in-one and in a service's own program.
A flag beats a variable, a variable beats the file, the file beats the default. Sizes carry a unit
(`+"`64MiB`"+`), durations too (`+"`30s`"+`). A secret may be read from a file, `+"`file:/run/secrets/x`"+`,
or from a variable, `+"`env:NAME`"+`.

In a service's own program `+"`broker.url`, `clickhouse.url` and `sql.url`"+` have no embedded default; they begin as
`+"`nats://127.0.0.1:4222`, `http://default@127.0.0.1:8123/driftmesh` and `sqlite:data/state`"+`.
`)
	group := "-"
	for _, node := range app.Model.Children {
		if node.Name != "up" {
			continue
		}
		for _, flag := range node.Flags {
			if flag.Hidden || flag.Name == "help" {
				continue
			}
			if title := groupOf(flag); title != group {
				group = title
				fmt.Fprintf(con.out, "\n## %s\n\n| setting | default | what it is |\n|---|---|---|\n", title)
			}
			fmt.Fprintf(con.out, "| `%s` | %s | %s |\n", flag.Name, code(flag.Default), strings.ReplaceAll(flag.Help, "|", `\|`))
		}
	}
	return nil
}

func groupOf(flag *kong.Flag) string {
	if flag.Group != nil {
		return flag.Group.Title
	}
	return "process"
}

func code(s string) string {
	if s == "" {
		return "–"
	}
	return "`" + s + "`"
}
