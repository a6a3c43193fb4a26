package sqlstate_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
)

func files(nameAndText ...string) fs.FS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(nameAndText); i += 2 {
		fsys[nameAndText[i]] = &fstest.MapFile{Data: []byte(nameAndText[i+1])}
	}
	return fsys
}

const (
	first = `
		-- two statements, and a ? in a comment
		CREATE TABLE people (name TEXT PRIMARY KEY, age BIGINT NOT NULL, hash BYTEA, admin BOOLEAN NOT NULL DEFAULT FALSE, weight DOUBLE PRECISION);
		CREATE TABLE pets (name TEXT PRIMARY KEY, owner TEXT NOT NULL REFERENCES people (name));`
	second = `ALTER TABLE people ADD COLUMN note TEXT NOT NULL DEFAULT 'a;b'`
)

func open(t *testing.T, url, schema string) *sqlstate.DB {
	t.Helper()
	db, err := sqlstate.Open(t.Context(), url, schema)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func migrated(t *testing.T, url, schema string) *sqlstate.DB {
	t.Helper()
	db := open(t, url, schema)
	require.NoError(t, db.Migrate(t.Context(), files("0001_people.sql", first)))
	return db
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, db := t.Context(), migrated(t, url, "auth")
		require.NoError(t, db.Ping(ctx))
		born := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
		n, err := db.Exec(ctx, `INSERT INTO people (name, age, hash, admin, weight) VALUES (?, ?, ?, ?, ?)`,
			"Änn '?", sqlstate.Micros(born), []byte{0, 255, '\''}, true, 0.1)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)

		var (
			name   string
			micros int64
			hash   []byte
			admin  bool
			weight float64
		)
		require.NoError(t, db.QueryRow(ctx, `SELECT name, age, hash, admin, weight FROM people WHERE age = ?`,
			sqlstate.Micros(born)).Scan(&name, &micros, &hash, &admin, &weight))
		require.Equal(t, "Änn '?", name)
		require.Equal(t, born, sqlstate.Time(micros))
		require.Equal(t, []byte{0, 255, '\''}, hash)
		require.True(t, admin)
		require.InDelta(t, 0.1, weight, 0)

		n, err = db.Exec(ctx, `UPDATE people SET hash = NULL WHERE name = ?`, "nobody")
		require.NoError(t, err)
		require.Zero(t, n)
	})
	require.Zero(t, sqlstate.Micros(time.Time{}))
	require.True(t, sqlstate.Time(0).IsZero())
}

func TestErrorsAreFaults(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, db := t.Context(), migrated(t, url, "auth")
		add := func(q sqlstate.Querier, name string) error {
			_, err := q.Exec(ctx, `INSERT INTO people (name, age) VALUES (?, 1)`, name)
			return err
		}
		require.NoError(t, add(db, "ann"))
		require.ErrorIs(t, add(db, "ann"), fault.Exists)
		require.ErrorIs(t, db.InTx(ctx, func(tx *sqlstate.Tx) error { return add(tx, "ann") }), fault.Exists)

		var age int
		err := db.QueryRow(ctx, `SELECT age FROM people WHERE name = ?`, "bob").Scan(&age)
		require.ErrorIs(t, err, fault.NotFound)
		require.ErrorIs(t, err, sql.ErrNoRows)

		_, err = db.Exec(ctx, `INSERT INTO pets VALUES ('rex', 'nobody')`)
		require.ErrorIs(t, err, fault.Precondition)
		_, err = db.Exec(ctx, `INSERT INTO pets VALUES ('rex', 'ann')`)
		require.NoError(t, err)
		_, err = db.Exec(ctx, `DELETE FROM people WHERE name = 'ann'`)
		require.ErrorIs(t, err, fault.Precondition)

		_, err = db.Exec(ctx, `NONSENSE`)
		require.Equal(t, fault.Internal, fault.KindOf(err))
		require.Equal(t, "internal error", fault.Of(err).Message())

		gone, cancel := context.WithCancel(ctx)
		cancel()
		_, err = db.Exec(gone, `INSERT INTO people (name, age) VALUES ('x', 1)`)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestTransactionsAreAllOrNothing(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, db := t.Context(), migrated(t, url, "auth")
		stop := errors.New("stop")
		err := db.InTx(ctx, func(tx *sqlstate.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO people (name, age) VALUES ('ann', 1)`)
			require.NoError(t, err)
			return stop
		})
		require.ErrorIs(t, err, stop)
		require.Empty(t, names(t, db))

		require.Panics(t, func() {
			_ = db.InTx(ctx, func(tx *sqlstate.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO people (name, age) VALUES ('ann', 1)`)
				require.NoError(t, err)
				panic("oops") //nolint:forbidigo // what a mistake in a handler would do
			})
		})
		require.Empty(t, names(t, db))

		require.NoError(t, db.InTx(ctx, func(tx *sqlstate.Tx) error {
			for _, name := range []string{"bob", "ann"} {
				if _, err := tx.Exec(ctx, `INSERT INTO people (name, age) VALUES (?, 1)`, name); err != nil {
					return err
				}
			}
			return nil
		}))
		require.Equal(t, []string{"ann", "bob"}, names(t, db))
	})
}

func names(t *testing.T, q sqlstate.Querier) []string {
	t.Helper()
	all, err := sqlstate.All(t.Context(), q, func(rows *sql.Rows) (name string, err error) {
		err = rows.Scan(&name)
		return name, err
	}, `SELECT name FROM people ORDER BY name`)
	require.NoError(t, err)
	return all
}

func TestConcurrentTransactionsDoNotLoseUpdates(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx := t.Context()
		one, two := migrated(t, url, "auth"), migrated(t, url, "auth") // as two replicas
		_, err := one.Exec(ctx, `INSERT INTO people (name, age) VALUES ('ann', 0)`)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for _, db := range []*sqlstate.DB{one, one, two, two} {
			wg.Go(func() {
				for done := 0; done < 10; {
					err := db.InTx(ctx, func(tx *sqlstate.Tx) error {
						var age int
						if err := tx.QueryRow(ctx, `SELECT age FROM people WHERE name = 'ann'`).Scan(&age); err != nil {
							return err
						}
						_, err := tx.Exec(ctx, `UPDATE people SET age = ? WHERE name = 'ann'`, age+1)
						return err
					})
					if err == nil {
						done++
					} else if !errors.Is(err, fault.Conflict) {
						t.Errorf("unexpected error: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
		var age int
		require.NoError(t, two.QueryRow(ctx, `SELECT age FROM people`).Scan(&age))
		require.Equal(t, 40, age)
	})
}

func TestReadersDoNotWaitForTheWriter(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, db := t.Context(), migrated(t, url, "auth")
		require.NoError(t, db.InTx(ctx, func(tx *sqlstate.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO people (name, age) VALUES ('ann', 1)`)
			require.NoError(t, err)
			require.Empty(t, names(t, db))
			require.Equal(t, []string{"ann"}, names(t, tx))
			return nil
		}))
		require.Equal(t, []string{"ann"}, names(t, db))
	})
}

func TestSchemasAreApart(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		auth, drift := migrated(t, url, "auth"), migrated(t, url, "drift")
		_, err := auth.Exec(t.Context(), `INSERT INTO people (name, age) VALUES ('ann', 1)`)
		require.NoError(t, err)
		require.Empty(t, names(t, drift))
		require.Equal(t, []string{"ann"}, names(t, migrated(t, url, "auth")))
	})
}

func TestMigrationsRunOnceInOrder(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx := t.Context()
		old := files("0001_people.sql", first)
		both := files("0002_note.sql", second, "0001_people.sql", first)
		db := open(t, url, "auth")
		require.NoError(t, db.Migrate(ctx, old))
		require.NoError(t, db.Migrate(ctx, old))
		_, err := db.Exec(ctx, `INSERT INTO people (name, age) VALUES ('ann', 1)`)
		require.NoError(t, err)

		require.NoError(t, db.Migrate(ctx, both))
		require.NoError(t, db.Migrate(ctx, both))
		var note string
		require.NoError(t, db.QueryRow(ctx, `SELECT note FROM people`).Scan(&note))
		require.Equal(t, "a;b", note)
		require.NoError(t, db.Migrate(ctx, old), "an older release starts on a newer schema")

		err = db.Migrate(ctx, files("0001_people.sql", first+" ", "0002_note.sql", second))
		require.ErrorIs(t, err, fault.Precondition)
		require.Contains(t, err.Error(), "0001_people.sql has changed since it ran")
	})
}

func TestAFailedMigrationLeavesNothing(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		ctx, db := t.Context(), open(t, url, "auth")
		err := db.Migrate(ctx, files("0001_people.sql", first, "0002_bad.sql", `CREATE TABLE x (a TEXT); NONSENSE`))
		require.ErrorContains(t, err, "migrate 0002_bad.sql")
		_, err = db.Exec(ctx, `INSERT INTO people (name, age) VALUES ('ann', 1)`)
		require.Error(t, err)
		require.NoError(t, db.Migrate(ctx, files("0001_people.sql", first, "0002_good.sql", second)))
	})
}

func TestReplicasMigrateAtOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		both := files("0001_people.sql", first, "0002_note.sql", second)
		var wg sync.WaitGroup
		for range 4 {
			db := open(t, url, "auth")
			wg.Go(func() {
				if err := db.Migrate(t.Context(), both); err != nil {
					t.Errorf("migrate: %v", err)
				}
			})
		}
		wg.Wait()
	})
}

func TestMigrationNames(t *testing.T) {
	db := open(t, sqltest.SQLite(t), "auth")
	for _, bad := range []fs.FS{
		files("1_x.sql", ``), files("0001.sql", ``), files("0001_X.sql", ``),
		files("0001_a.sql", ``, "0001_b.sql", ``),
	} {
		require.ErrorIs(t, db.Migrate(t.Context(), bad), fault.Invalid)
	}
}

func TestSQLiteFilesAreOnlyTheOwners(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?#%41", "state")
	db := migrated(t, "sqlite:"+dir, "auth")
	require.NoError(t, db.Ping(t.Context()))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
	for _, name := range []string{"auth.db", "auth.db-wal", "auth.db-shm"} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), name)
	}
}

func TestSQLiteFileByName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mesh.db")
	db := migrated(t, "sqlite://"+path, "auth")
	_, err := db.Exec(t.Context(), `INSERT INTO people (name, age) VALUES ('ann', 1)`)
	require.NoError(t, err)
	require.FileExists(t, path)
	again := migrated(t, "sqlite:"+path, "auth")
	require.Equal(t, []string{"ann"}, names(t, again))
}

func TestOpenRefusesWithoutTellingSecrets(t *testing.T) {
	for _, url := range []string{"", "mysql://u:hunter2@h/db", "postgres://u:hunter2@h:port/db", "postgres://u:hunter2@[::1/db", "hunter2", "sqlite:"} {
		_, err := sqlstate.Open(t.Context(), url, "auth")
		require.ErrorIs(t, err, fault.Invalid, url)
		require.NotContains(t, err.Error(), "hunter2")
	}
	for _, schema := range []string{"", "Auth", "a-b", `a"; DROP`, "1a", strings.Repeat("a", 49)} {
		_, err := sqlstate.Open(t.Context(), "sqlite:"+t.TempDir(), schema)
		require.ErrorIs(t, err, fault.Invalid, schema)
	}
}

func TestAnAbsentServerIsUnavailable(t *testing.T) {
	db := open(t, "postgres://u:hunter2@127.0.0.1:1/db", "auth")
	ctx := t.Context()
	require.ErrorIs(t, db.Ping(ctx), fault.Unavailable)
	_, err := db.Exec(ctx, `SELECT 1`)
	require.ErrorIs(t, err, fault.Unavailable)
	require.NotContains(t, err.Error(), "hunter2")
	require.ErrorIs(t, db.InTx(ctx, func(*sqlstate.Tx) error { return nil }), fault.Unavailable)

	short, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
	defer cancel()
	err = db.MigrateWhenUp(short, files(), slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestMigrateWhenUpDoesNotRetryMistakes(t *testing.T) {
	db := open(t, sqltest.SQLite(t), "auth")
	err := db.MigrateWhenUp(t.Context(), files("0001_bad.sql", `NONSENSE`), slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "migrate 0001_bad.sql")
}
