package sqlstate

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	lite "modernc.org/sqlite"
)

// counting counts what its connections prepare.
type counting struct {
	driver.Connector
	prepared *int
}

func (c counting) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return countingConn{conn.(wholeConn), c.prepared}, nil
}

type countingConn struct {
	wholeConn
	prepared *int
}

func (c countingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	*c.prepared++
	return c.wholeConn.PrepareContext(ctx, query)
}

// A connection prepares a statement once, and runs it again and again: with other
// arguments, after it has failed, after the table has changed, and while rows of it are
// still read.
func TestStatementsAreKept(t *testing.T) {
	t.Parallel()
	prepared := 0
	connector, err := lite.NewConnector("file:" + filepath.Join(t.TempDir(), "x.db"))
	require.NoError(t, err)
	db := sql.OpenDB(keeping{counting{connector, &prepared}})
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	ctx := t.Context()
	exec := func(query string, args ...any) error {
		_, err := db.ExecContext(ctx, query, args...)
		return err
	}
	require.NoError(t, exec("CREATE TABLE a (n INTEGER PRIMARY KEY); CREATE TABLE b (n INTEGER)"), "a script")
	for i := range 10 {
		require.NoError(t, exec("INSERT INTO a (n) VALUES (?)", i))
		require.ErrorContains(t, exec("INSERT INTO a (n) VALUES (?)", i), "UNIQUE")
	}
	require.Equal(t, 1, prepared)

	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	const above = "SELECT n FROM a WHERE n > ? ORDER BY n"
	var seen []int
	func() {
		outer, err := tx.QueryContext(ctx, above, 7)
		require.NoError(t, err)
		defer outer.Close()
		for outer.Next() {
			var n, m int
			require.NoError(t, outer.Scan(&n))
			require.NoError(t, tx.QueryRowContext(ctx, above, n-4).Scan(&m))
			seen = append(seen, n, m)
		}
		require.NoError(t, outer.Err())
	}()
	require.Equal(t, []int{8, 5, 9, 6}, seen)
	require.NoError(t, tx.Commit())
	require.Equal(t, 2, prepared, "the inner ones were on their own")

	require.NoError(t, exec("ALTER TABLE a ADD COLUMN m INTEGER"))
	require.NoError(t, exec("DELETE FROM a WHERE n < ?", 9))
	var n int
	require.NoError(t, db.QueryRowContext(ctx, above, 1).Scan(&n))
	require.Equal(t, 9, n)
	require.Equal(t, 3, prepared)

	for i := range 2 * mostKept {
		require.NoError(t, exec(fmt.Sprintf("INSERT INTO b (n) VALUES (? + %d)", i), 1))
	}
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	require.NoError(t, conn.Raw(func(c any) error {
		require.LessOrEqual(t, len(c.(*keeper).statements), mostKept)
		return nil
	}))
	require.NoError(t, conn.Close())
	require.Error(t, exec("INSERT INTO nowhere (n) VALUES (?)", 1))
}

// BenchmarkStatement is a look for work of which there is none.
func BenchmarkStatement(b *testing.B) {
	db, err := Open(b.Context(), "sqlite:"+b.TempDir(), "bench")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	_, err = db.Exec(b.Context(), "CREATE TABLE windows (tenant TEXT, profile TEXT, minute BIGINT, due BIGINT, leased_until BIGINT, touched BIGINT, done BIGINT, PRIMARY KEY (tenant, profile, minute))")
	require.NoError(b, err)
	for b.Loop() {
		found, err := All(b.Context(), db, func(rows *sql.Rows) (n int, err error) { return n, rows.Scan(&n) },
			`SELECT w.minute FROM windows w LEFT JOIN windows x ON x.tenant = w.tenant WHERE w.due <= ? AND w.leased_until <= ? AND w.touched > w.done
			GROUP BY w.tenant, w.profile ORDER BY MIN(w.due), w.profile LIMIT 1`, 1, 1)
		if err != nil || len(found) > 0 {
			b.Fatal(found, err)
		}
	}
}
