package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/scoutermove"
	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

type scouterCmd struct {
	Import scouterImportCmd `cmd:"" help:"Bring the profiles of a running Scouter here, with their uids; those that are here already stay."`
}

type scouterImportCmd struct {
	connectFlags
	From     string          `help:"Address of Scouter's server, such as http://scouter:8000." required:"" placeholder:"URL"`
	Username string          `help:"Who logs in there." default:"admin" env:"SCOUTER_USERNAME"`
	Password settings.Secret `help:"Password there, as file:PATH, or in the variable." default:"admin" env:"SCOUTER_PASSWORD"`
	List     string          `help:"File with a profile on each line, as the arguments are; - is standard input." placeholder:"FILE"`
	DryRun   bool            `help:"Change nothing, and say what would be done."`
	Profiles []string        `arg:"" optional:"" help:"Profiles, as SPACE/NAME/VERSION. From another mesh all, when none are given." placeholder:"SPACE/NAME/VERSION"`
}

// errNames says where the names of a Scouter's profiles are found, which has no route
// that lists them.
var errNames = errors.New(`Scouter has no route that lists all profiles: name them, or ask its database:
  psql "$DATABASE_URI" -Atc "SELECT DISTINCT space||'/'||name||'/'||version FROM scouter.drift_entities" | driftmesh scouter import --from URL --list -`)

// Run moves the profiles.
func (c scouterImportCmd) Run(ctx context.Context, con console) error {
	titles, err := c.titles(con.in)
	if err != nil {
		return err
	}
	from, err := scoutermove.Open(ctx, c.From, c.Username, string(c.Password))
	if err != nil {
		return err
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	var all []scoutermove.Found
	failed := 0
	for _, title := range titles {
		found, err := from.Profiles(ctx, title)
		switch {
		case err != nil && title == "":
			return errors.Join(err, errNames)
		case errors.Is(err, scoutermove.ErrNotFound):
			failed++
			fmt.Fprintf(con.err, "%s: %v at %s\n", title, err, c.From)
		case err != nil:
			return fmt.Errorf("read %s: %w", title, err)
		}
		all = append(all, found...)
	}
	scoutermove.Sort(all)
	drift, count := driftv1.NewDriftServiceClient(rpc.Faults(conn)), map[scoutermove.Outcome]int{}
	w := tabwriter.NewWriter(con.out, 0, 4, 2, ' ', 0)
	row(w, "OUTCOME", "PROFILE", "UID", "NOTE")
	for _, one := range all {
		r := scoutermove.Move(ctx, drift, one, c.DryRun)
		count[r.Outcome]++
		row(w, r.Outcome, r.Title(), r.UID, r.Note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	moved := "moved"
	if c.DryRun {
		moved = "would be moved"
	}
	fmt.Fprintf(con.out, "%d %s, %d were there, %d failed\n", count[scoutermove.Moved], moved, count[scoutermove.There], count[scoutermove.Failed]+failed)
	if n := count[scoutermove.Failed] + failed; n > 0 {
		return fmt.Errorf("%d profiles are not here", n)
	}
	return nil
}

// titles are the profiles that are asked for; "" is all.
func (c scouterImportCmd) titles(in io.Reader) ([]string, error) {
	titles := c.Profiles
	if c.List != "" {
		if c.List != "-" {
			raw, err := os.ReadFile(c.List)
			if err != nil {
				return nil, err
			}
			in = bytes.NewReader(raw)
		}
		if in == nil {
			in = strings.NewReader("")
		}
		for lines := bufio.NewScanner(in); lines.Scan(); {
			if line := strings.TrimSpace(lines.Text()); line != "" {
				titles = append(titles, line)
			}
		}
		if len(titles) == 0 {
			return nil, errors.New("the list is empty")
		}
	}
	if len(titles) == 0 {
		return []string{""}, nil
	}
	return titles, nil
}
