package chdb_test

import (
	"bytes"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded/chdb"
)

// The one test of this package loads the engine into the test's own process,
// which can hold one.
func TestLibrary(t *testing.T) {
	_, err := chdb.Load(filepath.Join(t.TempDir(), "none.so"))
	require.ErrorContains(t, err, "load engine library")

	library, err := chdb.Load(clickhousetest.Library(t))
	require.NoError(t, err)
	require.Regexp(t, `^26\.7\.`, library.Version())
	dir := t.TempDir()
	conn, err := library.Connect("--path="+dir, "--max_threads=2")
	require.NoError(t, err)
	defer conn.Close()

	t.Run("the runtime keeps its signal handlers", func(t *testing.T) {
		require.Panics(t, func() {
			var nothing *[4]int
			nothing[0] = 1
		})
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGTERM)
		defer signal.Stop(got)
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
		select {
		case s := <-got:
			require.Equal(t, syscall.SIGTERM, s)
		case <-time.After(10 * time.Second):
			t.Fatal("no signal")
		}
	})
	t.Run("query", func(t *testing.T) {
		data, stats, err := conn.Query("SELECT {a:String}, getSetting('max_threads')", "TabSeparated", []chdb.Param{{Name: "a", Value: "x\x00y"}})
		require.NoError(t, err)
		require.Equal(t, "x\\0y\t2\n", string(data))
		require.EqualValues(t, 1, stats.ResultRows)
		_, _, err = conn.Query("SELECT", "Null", nil)
		require.ErrorContains(t, err, "Code: 62.")
	})
	t.Run("stream", func(t *testing.T) {
		stream, err := conn.Stream("SELECT number FROM numbers(5) SETTINGS max_block_size = 2", "CSV", nil)
		require.NoError(t, err)
		var pieces []string
		for more := true; more; {
			more, err = stream.Next(func(b []byte) error { pieces = append(pieces, string(b)); return nil })
			require.NoError(t, err)
		}
		require.Equal(t, []string{"0\n1\n", "2\n3\n", "4\n"}, pieces)
		require.EqualValues(t, 5, stream.Stats().ResultRows)
		stream.Close()

		stream, err = conn.Stream("SELECT number FROM system.numbers", "CSV", nil)
		require.NoError(t, err)
		stop := errors.New("enough")
		_, err = stream.Next(func([]byte) error { return stop })
		require.ErrorIs(t, err, stop)
		stream.Close()

		// An error may come at the start or with the first piece.
		stream, err = conn.Stream("SELECT throwIf(1)", "CSV", nil)
		if err == nil {
			_, err = stream.Next(func([]byte) error { return nil })
			stream.Close()
		}
		require.ErrorContains(t, err, "Code: 395.")
	})
	t.Run("insert", func(t *testing.T) {
		_, _, err := conn.Query("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", "Null", nil)
		require.NoError(t, err)
		insert, err := conn.Insert("INSERT INTO t", "CSV", nil)
		require.NoError(t, err)
		require.NoError(t, insert.Append(nil))
		require.NoError(t, insert.Append(bytes.Repeat([]byte("1\n"), 1000)))
		require.NoError(t, insert.Append([]byte("1\n")))
		stats, err := insert.Done()
		insert.Close()
		require.NoError(t, err)
		require.EqualValues(t, 1001, stats.WrittenRows)

		abandoned, err := conn.Insert("INSERT INTO t", "CSV", nil)
		require.NoError(t, err)
		require.NoError(t, abandoned.Append([]byte("1\n")))
		abandoned.Close()
		_, err = conn.Insert("INSERT INTO nowhere", "CSV", nil)
		require.ErrorContains(t, err, "Code: 60.")
		data, _, err := conn.Query("SELECT count() FROM t", "TabSeparated", nil)
		require.NoError(t, err)
		require.Equal(t, "1001\n", string(data))
	})
}
