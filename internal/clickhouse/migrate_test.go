package clickhouse_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/fault"
)

func files(named ...string) fstest.MapFS {
	out := fstest.MapFS{"readme.md": {Data: []byte("not SQL")}}
	for i := 0; i < len(named); i += 2 {
		out[named[i]] = &fstest.MapFile{Data: []byte(named[i+1])}
	}
	return out
}

const (
	firstFile = "001_first.sql"
	firstSQL  = `-- the first; with a semicolon in a comment
CREATE TABLE IF NOT EXISTS {{database}}.a {{on_cluster}} (id UInt64, s String DEFAULT ';') ENGINE = {{replicated}}MergeTree ORDER BY id;
INSERT INTO a (id) SELECT 1;
`
	secondFile = "002_second.sql"
	secondSQL  = "ALTER TABLE a ADD COLUMN IF NOT EXISTS n UInt64;\nINSERT INTO a (id, n) SELECT 2, 2{{if cluster}} nonsense{{end}}"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	db := clickhousetest.Open(t)
	ctx := t.Context()
	require.NoError(t, db.Migrate(ctx, "svc", files(firstFile, firstSQL)))
	require.NoError(t, db.Migrate(ctx, "svc", files(firstFile, firstSQL)), "again")
	require.NoError(t, db.Migrate(ctx, "svc", files(firstFile, firstSQL, secondFile, secondSQL)))
	var rows, sum uint64
	require.NoError(t, db.QueryRow(ctx, "SELECT count(), sum(n) FROM a WHERE s = ';'").Scan(&rows, &sum))
	require.EqualValues(t, 2, rows, "each file once")
	require.EqualValues(t, 2, sum)

	err := db.Migrate(ctx, "svc", files(firstFile, firstSQL+" ", secondFile, secondSQL))
	require.ErrorIs(t, err, fault.Precondition)
	require.ErrorContains(t, err, "001_first.sql has changed")
	require.NoError(t, db.Migrate(ctx, "other-service", files(firstFile, "CREATE TABLE IF NOT EXISTS b (id UInt64) ENGINE = MergeTree ORDER BY id")), "services do not share names")
	require.Zero(t, locks(t, db))
}

// soon is a context for what must not take long, also within a cleanup.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// locks is the number of migration locks left.
func locks(t *testing.T, db *clickhouse.DB) (n uint64) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE '%lock%'").Scan(&n))
	return n
}

func TestManyWorkersMigrateTogether(t *testing.T) {
	t.Parallel()
	first := clickhousetest.Open(t)
	// A database that is not there yet: dropped by the test's end, but made here.
	cfg := clickhouse.Config{URL: clickhousetest.URL(t)}.WithDatabase(first.Database() + "_new")
	t.Cleanup(func() {
		require.NoError(t, first.Exec(soon(t), "DROP DATABASE IF EXISTS "+first.Database()+"_new SYNC"))
	})
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			db, err := clickhouse.Open(t.Context(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if err := db.Migrate(t.Context(), "svc", files(firstFile, firstSQL, secondFile, secondSQL)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	var rows, applied uint64
	require.NoError(t, first.QueryRow(t.Context(), "SELECT count() FROM "+first.Database()+"_new.a").Scan(&rows))
	require.EqualValues(t, 2, rows)
	require.NoError(t, first.QueryRow(t.Context(), "SELECT count() FROM "+first.Database()+"_new.migrations").Scan(&applied))
	require.EqualValues(t, 2, applied)
}

func TestAFailedMigrationIsTriedAgain(t *testing.T) {
	t.Parallel()
	db := clickhousetest.Open(t)
	ctx := t.Context()
	err := db.Migrate(ctx, "svc", files(firstFile, strings.Replace(firstSQL, "INSERT", "INSIST", 1)))
	require.ErrorIs(t, err, fault.Invalid)
	require.ErrorContains(t, err, "001_first.sql, statement 2")
	require.Zero(t, locks(t, db))
	require.NoError(t, db.Migrate(ctx, "svc", files(firstFile, firstSQL)), "a file that was not applied may change")
	require.Error(t, db.Migrate(ctx, "svc", files(firstFile, firstSQL, secondFile, "{{nonsense}}")))
}

func TestAHeldLockIsWaitedFor(t *testing.T) {
	t.Parallel()
	db := clickhousetest.Open(t)
	ctx := t.Context()
	require.NoError(t, db.Exec(ctx, "CREATE TABLE migrations_lock_svc_1 (Owner String) ENGINE = Memory"))
	done := make(chan error, 1)
	go func() { done <- db.Migrate(ctx, "svc", files(firstFile, firstSQL)) }()
	select {
	case err := <-done:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(time.Second):
	}
	require.NoError(t, db.Exec(ctx, "DROP TABLE migrations_lock_svc_1"))
	require.NoError(t, <-done)
}
