package route

import (
	"context"
	"log/slog"

	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// Logger is what the console writes to.
type Logger = *slog.Logger

// consoleTraces bounds the traces that a line of the log names.
const consoleTraces = 3

// console is the Route to the log of the process.
type console struct {
	log   Logger
	links links
}

func newConsole(_ Config, deps Deps) (Route, error) {
	return console{deps.Log, deps.links()}, nil
}

// Deliver implements Route.
func (c console) Deliver(ctx context.Context, e *alert.Event) error {
	level := slog.LevelWarn
	switch {
	case e.Closes() || e.Severity == profile.Info:
		level = slog.LevelInfo
	case e.Severity == profile.Critical:
		level = slog.LevelError
	}
	c.log.Log(ctx, level, e.Text(), slog.String("tenant", e.Tenant), slog.String("profile", e.Profile), slog.String("alert", e.AlertID),
		slog.String("event", e.ID), slog.Time("range_start", e.RangeStart), slog.Time("range_end", e.RangeEnd),
		slog.Any("traces", alert.Links(c.links.trace, e.Traces[:min(len(e.Traces), consoleTraces)])))
	return nil
}
