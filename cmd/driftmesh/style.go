package main

import (
	"io"
	"math"
	"os"
	"strconv"

	"golang.org/x/term"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/plot"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// terminalStyle is how to draw on a writer: as wide as its terminal, or as
// COLUMNS says; in colour on a terminal, unless NO_COLOR is set (no-color.org).
func terminalStyle(w io.Writer) plot.Style {
	style := plot.Style{Safe: func(text string) string { return safe(text, true) }}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		style.Width = n
	}
	file, ok := raw(w).(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) { //nolint:gosec // a descriptor
		return style
	}
	style.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(int(file.Fd())); err == nil && style.Width == 0 { //nolint:gosec // a descriptor
		style.Width = width
	}
	return style
}

// points are scores as a line has them.
func points(scores []*driftv1.Score) []plot.Point {
	all := make([]plot.Point, len(scores))
	for i, s := range scores {
		all[i].Value = math.NaN()
		if v := value(s); v != nil {
			all[i].Value = *v
		}
		all[i].Drift = s != nil && isDrift(s)
		all[i].Insufficient = s.GetVerdict() == driftv1.Verdict_VERDICT_INSUFFICIENT
	}
	return all
}
