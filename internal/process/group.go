package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// Group runs parts of a process that depend on one another: they start in the
// order in which they were added and stop in reverse, each wholly before the
// next, so that whoever is asked for something while stopping still has what it
// needs. The first that fails stops all.
type Group struct {
	log   *slog.Logger
	parts []part
}

type part struct {
	name string
	run  func(context.Context) error
}

// NewGroup makes an empty group.
func NewGroup(log *slog.Logger) *Group { return &Group{log: log} }

// Add appends a part. run must return soon after its context ends, nil when it
// stopped cleanly.
func (g *Group) Add(name string, run func(context.Context) error) {
	g.parts = append(g.parts, part{name, run})
}

// Run starts all parts and waits until ctx ends or one part returns; then it
// stops the others. It returns what went wrong, part by part. Call it once.
func (g *Group) Run(ctx context.Context) error {
	type end struct {
		index int
		err   error
	}
	ends := make(chan end, len(g.parts))
	cancels := make([]context.CancelFunc, len(g.parts))
	done := make([]chan error, len(g.parts))
	for i, p := range g.parts {
		// Not derived from ctx: its end must not reach every part at once.
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		cancels[i], done[i] = cancel, make(chan error, 1)
		go func() {
			err := p.run(own)
			done[i] <- err
			ends <- end{i, err}
		}()
	}
	var errs []error
	select {
	case <-ctx.Done():
	case e := <-ends:
		if e.err == nil {
			errs = append(errs, fmt.Errorf("%s: stopped by itself", g.parts[e.index].name))
		}
	}
	for i := len(g.parts) - 1; i >= 0; i-- {
		cancels[i]()
		if err := <-done[i]; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", g.parts[i].name, err))
			g.log.Error("part failed", slog.String(telemetry.KeyService, g.parts[i].name), telemetry.Err(err))
			continue
		}
		g.log.Debug("part stopped", slog.String(telemetry.KeyService, g.parts[i].name))
	}
	return errors.Join(errs...)
}
