package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
)

// A profile that is made at once shows nothing; one that takes its time a line
// now and then, where the output is no terminal.
func TestProgressOfAProfile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	line := newProgressLine(&out)
	for i := range int64(1000) {
		line.table(table.Progress{Stage: table.Bytes, Done: i, Total: 1000})
	}
	line.table(table.Progress{Stage: table.Columns, Done: 1, Total: 12})
	require.Empty(t, out.String())
	for _, now := range []table.Progress{
		{Stage: table.Bytes, Done: 12_345_678, Total: 3_000_000_000}, {Stage: table.Columns, Done: 7, Total: 200},
	} {
		line.shown = time.Now().Add(-time.Minute)
		line.table(now)
		line.table(now)
	}
	line.end()
	require.Equal(t, "reading: 12 of 3000 MB\ncounting: 7 of 200 columns\n", out.String())
}
