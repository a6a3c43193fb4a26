package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// parentVariable makes the test binary a process that runs an engine on the
// data directory named, prints the child's process id, and waits to be killed.
const parentVariable = "DRIFTMESH_TEST_ENGINE_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" && !embedded.IsChild() {
		runParent(dir)
		return
	}
	clickhousetest.Main(m, func() error { return goleak.Find() })
}

func runParent(dir string) {
	ctx := context.Background()
	engine, err := embedded.Start(ctx, embedded.Config{
		Library: os.Getenv("TEST_LIBRARY"), Path: dir, Log: discard(), Command: clickhousetest.Command,
	})
	if err == nil {
		err = engine.Ready(ctx)
	}
	if err != nil {
		fmt.Println(0, err)
		os.Exit(1)
	}
	fmt.Println(engine.PID())
	// Until it is killed; or, should the test forget to, for a while.
	time.Sleep(time.Minute)
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start starts an engine of the test's own.
func start(t *testing.T, dir string) *embedded.Engine {
	t.Helper()
	engine, err := embedded.Start(context.Background(), embedded.Config{
		Library: clickhousetest.Library(t), Path: dir, Log: discard(), Command: clickhousetest.Command,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Stop(soon(t))) })
	require.NoError(t, engine.Ready(soon(t)))
	return engine
}

// soon is a context for what must not take long, also within a cleanup.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, engine *embedded.Engine) *clickhouse.DB {
	t.Helper()
	db, err := clickhouse.Open(t.Context(), clickhouse.Config{URL: engine.URL() + "default"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func kill9(t *testing.T, pid int) {
	t.Helper()
	require.NotZero(t, pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}

func TestKilledChildComesBackAtTheSameURLWithItsData(t *testing.T) {
	engine := start(t, t.TempDir())
	db := open(t, engine)
	ctx := soon(t)
	require.NoError(t, db.Exec(ctx, "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n"))
	url, acknowledged := engine.URL(), uint64(0)
	for round := range 3 {
		for range 20 {
			require.NoError(t, db.Exec(ctx, "INSERT INTO t SELECT {n:UInt64}", clickhouse.Named("n", acknowledged)))
			acknowledged++
		}
		before := engine.PID()
		kill9(t, before)
		// Calls made while the child is away fail as unavailable or wait in the
		// socket's queue, and then work again by themselves.
		require.Eventually(t, func() bool {
			var n uint64
			err := db.QueryRow(ctx, "SELECT count() FROM t").Scan(&n)
			if err != nil {
				require.ErrorIs(t, err, fault.Unavailable, "round %d", round)
				return false
			}
			require.Equal(t, acknowledged, n)
			return true
		}, 30*time.Second, 20*time.Millisecond)
		require.NoError(t, engine.Ready(ctx))
		require.NotEqual(t, before, engine.PID())
		require.Equal(t, url, engine.URL())
		require.Equal(t, round+1, engine.Restarts())
	}
	require.Regexp(t, `^\d+\.\d+\.`, engine.Version())
}

// Blocks are inserted, and tried again while the store is away, as a worker
// does it; the child is killed in the middle of them again and again.
func TestAcknowledgedBlocksSurviveKills(t *testing.T) {
	engine := start(t, t.TempDir())
	db := open(t, engine)
	ctx := soon(t)
	require.NoError(t, db.Exec(ctx, "CREATE TABLE t (n UInt64) ENGINE = ReplacingMergeTree ORDER BY n"))
	const writers, rows, kills = 2, 1000, 3
	done := make(chan struct{})
	var acknowledged atomic.Uint64
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for from := w * rows; ; from += writers * rows {
				select {
				case <-done:
					return
				default:
				}
				var n proto.ColUInt64
				for i := range rows {
					n.Append(uint64(from + i))
				}
				err := db.Insert(ctx, "t", proto.Input{{Name: "n", Data: &n}})
				for errors.Is(err, fault.Unavailable) {
					err = db.Insert(ctx, "t", proto.Input{{Name: "n", Data: &n}})
				}
				if err != nil {
					t.Error(err)
					return
				}
				acknowledged.Add(rows)
			}
		})
	}
	for range kills {
		reached := acknowledged.Load() + 20*rows
		require.Eventually(t, func() bool { return acknowledged.Load() > reached }, 30*time.Second, time.Millisecond)
		killed := time.Now()
		kill9(t, engine.PID())
		require.Eventually(t, func() bool { return engine.Check(ctx) != nil }, 10*time.Second, time.Millisecond)
		require.NoError(t, engine.Ready(ctx))
		t.Logf("ready again after %v", time.Since(killed).Round(time.Millisecond))
	}
	close(done)
	wait.Wait()
	var distinct uint64
	require.NoError(t, db.QueryRow(ctx, "SELECT count() FROM t FINAL").Scan(&distinct))
	require.Equal(t, acknowledged.Load(), distinct, "each once, none lost")
}

func TestChildDiesWithItsParent(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentVariable+"="+dir, "TEST_LIBRARY="+clickhousetest.Library(t))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	child, err := strconv.Atoi(strings.Fields(line)[0])
	require.NoError(t, err, line)
	require.True(t, alive(child), line)

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { return !alive(child) }, 10*time.Second, 10*time.Millisecond)
	// and has let go of the data
	start(t, dir)
}

// alive reports whether a process runs (a zombie does not).
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestTwoEnginesCannotShareData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, dir)
	second, err := embedded.Start(context.Background(), embedded.Config{
		Library: clickhousetest.Library(t), Path: dir, Log: discard(), Command: clickhousetest.Command,
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return second.Restarts() > 0 }, time.Minute, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err = second.Ready(ctx)
	require.ErrorIs(t, err, fault.Unavailable)
	require.ErrorContains(t, err, "another driftmesh uses the engine data in "+dir)
	require.ErrorIs(t, second.Check(ctx), fault.Unavailable)
	require.NoError(t, second.Stop(soon(t)))
	require.NoError(t, first.Check(t.Context()))
}

func TestStopIsGracefulAndSafeTwice(t *testing.T) {
	engine := start(t, t.TempDir())
	db := open(t, engine)
	pid := engine.PID()
	answered := make(chan error, 1)
	go func() {
		var n uint64
		answered <- db.QueryRow(context.Background(), "SELECT sum(sleepEachRow(0.1)) + count() FROM numbers(10) SETTINGS max_block_size = 1").Scan(&n)
	}()
	require.Eventually(t, func() bool {
		var running uint64
		return db.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%'").Scan(&running) == nil && running > 1
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, engine.Stop(soon(t)))
	require.NoError(t, <-answered, "a running statement is let finish")
	require.False(t, alive(pid))
	require.NoError(t, engine.Stop(soon(t)))
	require.ErrorIs(t, engine.Ready(t.Context()), fault.Unavailable)
	require.Zero(t, engine.PID())
}

func TestALibraryThatIsNoneIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "libchdb.so")
	require.NoError(t, os.WriteFile(file, []byte("not a library"), 0o600))
	engine, err := embedded.Start(context.Background(), embedded.Config{
		Library: file, Path: t.TempDir(), Log: discard(), Command: clickhousetest.Command,
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return engine.Restarts() > 0 }, time.Minute, 10*time.Millisecond)
	require.ErrorContains(t, engine.Check(t.Context()), "load engine library")
	// In the growing pauses between the attempts callers are told, not hung up.
	db := open(t, engine)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		e, ok := errors.AsType[*clickhouse.Error](db.Exec(ctx, "SELECT 1"))
		return ok && e.Code == 210 && strings.Contains(e.Message, "load engine library")
	}, time.Minute, 10*time.Millisecond)
	require.ErrorIs(t, db.Ping(soon(t)), fault.Unavailable)
	require.NoError(t, engine.Stop(soon(t)))
}

func TestStartChecksItsConfig(t *testing.T) {
	t.Parallel()
	log := discard()
	for _, cfg := range []embedded.Config{{Path: "x", Log: log}, {Library: "x", Log: log}, {Library: "x", Path: "x"}} {
		_, err := embedded.Start(t.Context(), cfg)
		require.ErrorIs(t, err, fault.Invalid)
	}
}

func TestTheChildCommandByHandSaysSo(t *testing.T) {
	t.Parallel()
	cmd := clickhousetest.Command()
	cmd.Env = append(os.Environ(), "DRIFTMESH_ENGINE_CHILD=1")
	cmd.Stdin = strings.NewReader("")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Contains(t, string(out), "started by driftmesh itself")
}
