// Package sqltest runs tests against every database that sqlstate speaks to.
//
// SQLite needs nothing. PostgreSQL is the server named by
// DRIFTMESH_TEST_POSTGRES (a URL whose user may create databases), or else one
// that is started for the test out of the binaries in /usr/lib/postgresql or on
// the path. Where neither can be had the test is skipped, and fails when
// DRIFTMESH_TEST_REQUIRE names postgres.
package sqltest

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", to make databases with
	"github.com/stretchr/testify/require"

	testserver "github.com/driftmesh/driftmesh/test/server"
)

// running is the server that tests of this process share.
var running struct {
	sync.Mutex
	tried  bool
	server *server
	err    error
}

// Main runs the tests and then stops what Each started. A package that uses
// Each or Postgres calls it from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(sqltest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	running.Lock()
	defer running.Unlock()
	if running.server != nil {
		running.server.stop()
	}
	return code
}

// Each runs a test once per database, each time with the URL of a new, empty
// one.
func Each(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite gives the URL of a new directory.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "state")
}

// Postgres gives the URL of a new database, which is dropped when the test
// ends. It skips the test when there is no server, or fails it when one is
// required.
func Postgres(t testing.TB) string {
	t.Helper()
	admin := os.Getenv("DRIFTMESH_TEST_POSTGRES")
	if admin == "" {
		server, err := shared()
		if err != nil {
			testserver.Missing(t, "postgres", err.Error())
		}
		admin = server.url
	}
	return database(t, admin)
}

func shared() (*server, error) {
	running.Lock()
	defer running.Unlock()
	if !running.tried {
		running.tried = true
		running.server, running.err = start()
	}
	return running.server, running.err
}

func database(t testing.TB, admin string) string {
	t.Helper()
	db, err := sql.Open("pgx", admin)
	require.NoError(t, err)
	defer db.Close()
	name := "test_" + strings.ToLower(rand.Text())
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		db, err := sql.Open("pgx", admin)
		require.NoError(t, err)
		defer db.Close()
		_, err = db.Exec("DROP DATABASE " + name + " WITH (FORCE)")
		require.NoError(t, err)
	})
	u, err := url.Parse(admin)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}
