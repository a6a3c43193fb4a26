// Command generate writes the dashboards as files, into the directory it is given.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/driftmesh/driftmesh/deploy/monitoring"
)

func main() {
	if err := write(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: generate DIR")
	}
	for _, d := range monitoring.Dashboards() {
		raw, err := d.JSON()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(args[0], d.UID+".json"), raw, 0o644); err != nil { //nolint:gosec // for everybody to read
			return err
		}
	}
	return nil
}
