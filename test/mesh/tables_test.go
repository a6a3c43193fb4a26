package mesh_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
)

// The same rows come to the same counts, whatever file they are in, at the times
// that the file says.
func TestRecordsOfAnyFile(t *testing.T) {
	t.Parallel()
	m := mesh.Start(t)
	dir := filepath.Join(mesh.Root(t), "cmd/driftmesh/internal/table/testdata")
	features := []string{"--features", "age,ratio,price,color,kind,member"}
	// The rows are a minute apart, so an hour has sixty of them.
	var first string
	for _, name := range []string{"table.csv", "table.parquet", "file.arrow", "stream.arrows", "lz4.feather"} {
		path, profile := filepath.Join(dir, name), strings.Split(name, ".")[0]
		made := append([]string{"profile", "create", "--reference", path, "--name", profile, "--null", "NA", "--detector", "psi_scouter", "--fixed", "0.2"}, features...)
		m.MustCLI(t, made...)
		sent := append([]string{"records", "send", path, "--profile", "default/" + profile, "--time", "seconds", "--id", "id", "--null", "NA"}, features...)
		for range 2 { // a record that is sent again counts once
			require.Equal(t, "accepted 200, rejected 0, not sent 0", m.MustCLI(t, sent...), name)
		}
		got := digits(t, evaluated(t, m.Addresses, "default/"+profile, time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC), 60))
		if first == "" {
			first = got
		}
		require.Equal(t, first, got, name)
	}
	m.MustCLI(t, append([]string{"profile", "create", "--reference", filepath.Join(dir, "table.parquet"), "--name", "shop"}, features...)...)
	out, err := m.CLI(t, append([]string{"records", "send", filepath.Join(dir, "table.csv"), "--profile", "default/shop", "--time", "at", "--null", "NA"}, features...)...)
	require.Error(t, err)
	require.Contains(t, out, "accepted 171, rejected 0, not sent 29\n  29 rows, the first is 4: column \"at\" holds no time\n")
	out, err = m.CLI(t, "records", "send", filepath.Join(dir, "table.csv"), "--profile", "default/shop")
	require.Error(t, err)
	require.Contains(t, out, `profile default/shop/0.1.0 has no feature "id", "big", "single", "half", "day", "day64", "at", "seconds"`)

	// What the server refuses is told by column and row.
	late := filepath.Join(t.TempDir(), "late.csv")
	require.NoError(t, os.WriteFile(late, []byte("age,at\nx,2026-01-01\n1,1999-01-01\n2,2026-01-01\n3,1999-01-01\n"), 0o600))
	out, err = m.CLI(t, "records", "send", late, "--profile", "default/shop", "--time", "at")
	require.Error(t, err)
	require.Contains(t, out, "counts as missing")
	_, told, _ := strings.Cut(out, "accepted 1, rejected 2, not sent 1\n")
	require.Contains(t, told, "row 1: column \"age\" is not a number: \"x\"\n")
	require.Contains(t, told, "2 rows, the first is 2: event_time: lies more than 3285 days back (event_time_out_of_range)\n")
}
