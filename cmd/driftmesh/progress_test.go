package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/reference"
)

// A profile that is made at once shows nothing; one that takes its time a line
// now and then, where the output is no terminal.
func TestProgressOfAProfile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	line := newProgressLine(&out)
	for i := range int64(1000) {
		line.reference(reference.Progress{Stage: reference.Rows, Done: i, Total: 1000})
	}
	line.reference(reference.Progress{Stage: reference.Columns, Done: 1, Total: 12})
	require.Empty(t, out.String())
	for _, now := range []reference.Progress{
		{Stage: reference.Rows, Done: 12_345_678, Total: 3_000_000_000}, {Stage: reference.Columns, Done: 7, Total: 200},
	} {
		line.shown = time.Now().Add(-time.Minute)
		line.reference(now)
		line.reference(now)
	}
	line.end()
	require.Equal(t, "reading rows: 12 of 3000 MB\ncounting: 7 of 200 columns\n", out.String())
}
