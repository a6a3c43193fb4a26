package migration_test

import (
	"context"
	"io/fs"
	"log/slog"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/migration"
)

func files(names ...string) fs.FS {
	all := fstest.MapFS{}
	for _, name := range names {
		all[name] = &fstest.MapFile{Data: []byte("abc")}
	}
	return all
}

func TestReadGivesTheOrderInWhichTheyRun(t *testing.T) {
	t.Parallel()
	all, err := migration.Read(files("002_b.sql", "readme.md", "010_c.sql", "001_a.sql"))
	require.NoError(t, err)
	require.Len(t, all, 3)
	// SHA-256 of "abc" as FIPS 180-2 gives it.
	require.Equal(t, migration.File{
		Name: "001_a.sql", Text: "abc", Checksum: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	}, all[0])
	require.Equal(t, "010_c.sql", all[2].Name)
	for _, bad := range []fs.FS{files("1_a.sql"), files("001-a.sql"), files("001_a.sql", "001_b.sql"), files("001_a.sql", "0001_b.sql")} {
		_, err := migration.Read(bad)
		require.ErrorIs(t, err, fault.Invalid)
	}
}

func TestWhatHasRunMayNotChange(t *testing.T) {
	t.Parallel()
	f := migration.File{Name: "001_a.sql", Checksum: "new"}
	ran, err := f.Ran(nil)
	require.NoError(t, err)
	require.False(t, ran)
	ran, err = f.Ran(map[string]string{"001_a.sql": "new"})
	require.NoError(t, err)
	require.True(t, ran)
	_, err = f.Ran(map[string]string{"001_a.sql": "old"})
	require.ErrorIs(t, err, fault.Precondition)
	require.ErrorContains(t, err, "001_a.sql has changed")
}

func TestWhenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		tries := 0
		require.NoError(t, migration.WhenUp(t.Context(), log, "store", func(context.Context) error {
			if tries++; tries < 20 {
				return fault.Unavailable.New("away")
			}
			return nil
		}))
		require.Equal(t, 20, tries)

		tries = 0
		require.ErrorIs(t, migration.WhenUp(t.Context(), log, "store", func(context.Context) error {
			tries++
			return fault.Precondition.New("changed")
		}), fault.Precondition)
		require.Equal(t, 1, tries, "time does not mend that")

		ctx, cancel := context.WithCancel(t.Context())
		require.ErrorIs(t, migration.WhenUp(ctx, log, "store", func(context.Context) error {
			cancel()
			return fault.Unavailable.New("away")
		}), context.Canceled)
	})
}
