package main

import (
	"context"
	"fmt"
	"time"

	"github.com/driftmesh/driftmesh/internal/settings"
)

type secretCmd struct {
	Rotate secretRotateCmd `cmd:"" help:"Put a new mesh secret in the place of the one in use, while the mesh runs."`
}

// secretRotateCmd changes a file that running processes read. A secret that signs
// before everybody knows it locks services out, so it is only believed at first.
type secretRotateCmd struct {
	File   string        `arg:"" help:"File that mesh.secret names; data/mesh.secret for driftmesh up." placeholder:"FILE"`
	Only   string        `help:"Do one step alone, where the file has to be copied elsewhere after each: add a new secret that is only believed; let the one that was added last sign; drop what is older than --keep." enum:",add,sign,drop" default:""`
	Spread time.Duration `help:"How long everybody may take to read the file anew." default:"10s"`
	Keep   int           `help:"How many secrets are still believed afterwards, the new one included. What was sealed with an older one is lost: dead letters that were to be redriven, messages that were never read." default:"2"`
}

// Run does the steps.
func (c secretRotateCmd) Run(ctx context.Context, con console) error {
	if c.Keep < 1 {
		return fmt.Errorf("--keep: must be at least 1, not %d", c.Keep)
	}
	step := func(name, done string, change func([]settings.Secret) []settings.Secret) error {
		if c.Only != "" && c.Only != name {
			return nil
		}
		list, err := settings.ReadSecrets(c.File)
		if err != nil {
			return err
		}
		if list = change(list); list == nil {
			return fmt.Errorf("%s has no secret that was added: do --only add first", c.File)
		}
		if err := writeSecrets(c.File, list); err != nil {
			return err
		}
		fmt.Fprintf(con.out, "%s: %s (%d in all)\n", c.File, done, len(list))
		return nil
	}
	if err := step("add", "a new secret is believed", addSecret); err != nil {
		return err
	}
	if c.Only == "" {
		select {
		case <-ctx.Done():
			return fmt.Errorf("stopped while the new secret spread: go on with --only sign: %w", ctx.Err())
		case <-time.After(c.Spread):
		}
	}
	if err := step("sign", "the new secret signs", signSecret); err != nil {
		return err
	}
	return step("drop", "older ones are gone", func(list []settings.Secret) []settings.Secret { return list[:min(len(list), c.Keep)] })
}

// addSecret puts a secret behind the one in use.
func addSecret(list []settings.Secret) []settings.Secret {
	return append([]settings.Secret{list[0], newSecret()}, list[1:]...)
}

// signSecret lets the secret behind the one in use take its place.
func signSecret(list []settings.Secret) []settings.Secret {
	if len(list) < 2 {
		return nil
	}
	return append([]settings.Secret{list[1], list[0]}, list[2:]...)
}
