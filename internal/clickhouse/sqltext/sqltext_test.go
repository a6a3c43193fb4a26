package sqltext_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
)

func TestWords(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT a, `b c`.\"d\" FROM t":          "SELECT a `b c` \"d\" FROM t",
		"select 'it''s; (x)' -- no; words\n, y": "select y",
		"a /* ; b */ c # d\n e #! f\n g":        "a c e g",
		"f(x, [y], {z:T}) w":                    "f ( x:1 y:2 z:2 T:2 w",
		`'a\'b' c 'unterminated d`:              "c",
		"/* unterminated d":                     "",
		"1e9 0x1F a1 _b é":                      "a1 _b é",
		"a;b":                                   "a ; b",
		"'":                                     "",
		")) a":                                  "a",
	} {
		t.Run(sql, func(t *testing.T) {
			var got []string
			for w := range sqltext.Words(sql) {
				text := w.Text
				require.Equal(t, text, sql[w.Start:w.End])
				if w.Depth > 0 {
					text += ":" + strings.Repeat("I", w.Depth)
				}
				got = append(got, text)
			}
			want = strings.NewReplacer(":1", ":I", ":2", ":II").Replace(want)
			require.Equal(t, want, strings.Join(got, " "))
		})
	}
}

func TestSplit(t *testing.T) {
	for sql, want := range map[string][]string{
		"":                              nil,
		" ;; -- only a comment\n;":      nil,
		"a":                             {"a"},
		"a; b;":                         {"a", "b"},
		"a ';' -- ;\n b; /* ; */ c":     {"a ';' -- ;\n b", "/* ; */ c"},
		"-- head\nCREATE t (a `x;y`) ;": {"-- head\nCREATE t (a `x;y`)"},
	} {
		require.Equal(t, want, sqltext.Split(sql), sql)
	}
}

func TestQuote(t *testing.T) {
	require.Equal(t, `'it\'s a \\ '`, sqltext.Quote(`it's a \ `))
	require.Equal(t, "`a\\`b\\\\c.é`", sqltext.Identifier("a`b\\c.é"))
}

func FuzzWords(f *testing.F) {
	for _, seed := range []string{"SELECT 'a' FROM `t` -- x", "/*", "'\\", "((;))", "INSERT INTO t FORMAT Native\n\x00\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		end := 0
		for w := range sqltext.Words(sql) {
			if w.Start < end || w.End <= w.Start || w.End > len(sql) || w.Depth < 0 {
				t.Fatalf("%+v after %d", w, end)
			}
			end = w.End
		}
		quoted := sqltext.Quote(sql)
		for range sqltext.Words(quoted) {
			t.Fatalf("%q does not stay one string", quoted)
		}
		for _, part := range sqltext.Split(sql) {
			require.Contains(t, sql, part)
		}
	})
}
