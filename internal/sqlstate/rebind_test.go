package sqlstate

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRebind(t *testing.T) {
	for query, want := range map[string]string{
		`SELECT 1`:                        `SELECT 1`,
		`a = ? AND b = ?`:                 `a = $1 AND b = $2`,
		`'?' || ? || '??'`:                `'?' || $1 || '??'`,
		`'it''s ?' = ?`:                   `'it''s ?' = $1`,
		`"odd?name" = ?`:                  `"odd?name" = $1`,
		"-- why?\n? -- ?":                 "-- why?\n$1 -- ?",
		`/* ? */ ? /* ?`:                  `/* ? */ $1 /* ?`,
		`'never closed ?`:                 `'never closed ?`,
		`?,?,?,?,?,?,?,?,?,?,?`:           `$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11`,
		`name = ? -- 'quote in a comment`: `name = $1 -- 'quote in a comment`,
	} {
		require.Equal(t, want, onPostgres.rebind(query))
		require.Equal(t, query, onSQLite.rebind(query))
	}
}

func FuzzRebind(f *testing.F) {
	f.Add("a = ? /* ' */ '?'")
	f.Fuzz(func(t *testing.T, query string) {
		got := onPostgres.rebind(query)
		require.GreaterOrEqual(t, len(got), len(query))
		if !strings.Contains(query, "?") {
			require.Equal(t, query, got)
		}
	})
}
