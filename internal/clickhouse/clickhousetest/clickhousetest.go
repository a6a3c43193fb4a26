// Package clickhousetest gives tests a real ClickHouse: the embedded engine in
// a child process, one for each test binary, or the server that the environment
// names.
//
//	func TestMain(m *testing.M) { clickhousetest.Main(m) }
//
//	func TestX(t *testing.T) {
//		db := clickhousetest.Open(t) // a database of its own
//		…
//	}
//
// DRIFTMESH_TEST_CLICKHOUSE is the URL of a server to use instead.
// DRIFTMESH_TEST_ENGINE_LIBRARY is the path of one's own copy of the library.
// Where neither a server nor the library can be had a test is skipped, or fails
// if DRIFTMESH_TEST_REQUIRE contains "clickhouse".
package clickhousetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
	"github.com/driftmesh/driftmesh/test/server"
)

const (
	serverVariable  = "DRIFTMESH_TEST_CLICKHOUSE"
	libraryVariable = "DRIFTMESH_TEST_ENGINE_LIBRARY"
	// fetchTime bounds the download of the library, the first time ever.
	fetchTime = 10 * time.Minute
	startTime = time.Minute
)

// shared is the engine of this test binary.
var shared struct {
	once   sync.Once
	engine *embedded.Engine
	dir    string
	err    error
}

// Main runs the tests of a package and stops the engine after them. Where the
// binary has been started as an engine's child it is that instead. checks run
// after the engine has stopped; the first error fails the run (see
// goleak.Find).
func Main(m *testing.M, checks ...func() error) {
	if embedded.IsChild() {
		if err := embedded.Child(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	for _, check := range checks {
		if err := check(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Command is the embedded.Config.Command with which a test binary that uses
// Main is its own engine child.
func Command() *exec.Cmd {
	return exec.Command(os.Args[0])
}

// Library is the path of the engine library, fetched if need be. The test is
// skipped, or fails, where it cannot be had.
func Library(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	own := os.Getenv(libraryVariable)
	path, err := embedded.Fetch(ctx, embedded.Source{Library: own})
	switch {
	case err != nil && own != "":
		t.Fatalf("%s: %v", libraryVariable, err)
	case err != nil:
		server.Missing(t, "clickhouse", err.Error())
	}
	return path
}

// URL is that of the ClickHouse for tests, without a database.
func URL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv(serverVariable); url != "" {
		return url
	}
	library := Library(t)
	shared.once.Do(func() { shared.err = startShared(library) })
	if shared.err != nil {
		t.Fatalf("start the engine for tests: %v", shared.err)
	}
	return shared.engine.URL()
}

// Engine is the engine of this test binary, nil when a server is used.
func Engine(t testing.TB) *embedded.Engine {
	URL(t)
	return shared.engine
}

// Open returns a fresh, empty database. It is dropped and closed when the test
// ends.
func Open(t testing.TB) *clickhouse.DB {
	t.Helper()
	cfg := clickhouse.Config{URL: URL(t)}
	name := "test_" + strings.ToLower(rand.Text()[:12])
	admin := open(t, cfg.WithDatabase("default"))
	ctx := t.Context()
	if err := admin.Exec(ctx, "CREATE DATABASE "+sqltext.Identifier(name)); err != nil {
		t.Fatalf("create test database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTime)
		defer cancel()
		for _, database := range []string{"sql_" + name, name} {
			if err := admin.Exec(ctx, "DROP DATABASE IF EXISTS "+sqltext.Identifier(database)+" SYNC"); err != nil {
				t.Errorf("drop test database: %v", err)
			}
		}
	})
	return open(t, cfg.WithDatabase(name))
}

func open(t testing.TB, cfg clickhouse.Config) *clickhouse.DB {
	t.Helper()
	db, err := clickhouse.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open clickhouse: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close clickhouse: %v", err)
		}
	})
	return db
}

func startShared(library string) error {
	dir, err := os.MkdirTemp("", "driftmesh-engine-")
	if err != nil {
		return fmt.Errorf("make engine directory: %w", err)
	}
	shared.dir = dir
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	shared.engine, err = embedded.Start(context.Background(), embedded.Config{Library: library, Path: dir, Log: log, Command: Command})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	return shared.engine.Ready(ctx)
}

func stopShared() error {
	if shared.engine == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	return errors.Join(shared.engine.Stop(ctx), os.RemoveAll(shared.dir))
}
