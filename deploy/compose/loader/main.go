// Command loader reads the compose file as Docker Compose does, with the library
// of the compose specification, and prints what comes out as JSON: variables put
// in, anchors and profiles resolved, paths made whole. It fails where the file
// does not keep to the schema or does not fit together.
//
// It is a module of its own, so that nobody who builds driftmesh gets the library.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if err := load(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// load takes the directory from the arguments, and what the shell has set, as
// "docker compose" does; profiles may follow, as with --profile.
func load(ctx context.Context) error {
	if len(os.Args) < 2 {
		return fmt.Errorf("usage: loader DIR [PROFILE...]")
	}
	options, err := cli.NewProjectOptions(nil, cli.WithWorkingDirectory(os.Args[1]), cli.WithOsEnv,
		cli.WithEnvFiles(), cli.WithDotEnv, cli.WithDefaultConfigPath, cli.WithDefaultProfiles(os.Args[2:]...))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return err
	}
	raw, err := project.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(raw)
	return err
}
