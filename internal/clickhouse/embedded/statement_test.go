package embedded

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadStatement(t *testing.T) {
	for _, row := range []struct {
		sql  string
		want statement
	}{
		{"SELECT 1", statement{kind: selecting, text: "SELECT 1"}},
		{"-- c\n(SELECT 1)", statement{kind: selecting, text: "-- c\n(SELECT 1)"}},
		{"WITH x AS (SELECT 1) SELECT * FROM x FORMAT JSON;", statement{kind: selecting, text: "WITH x AS (SELECT 1) SELECT * FROM x FORMAT JSON;", format: "JSON"}},
		{"SELECT 'FORMAT x' AS format FROM t", statement{kind: selecting, text: "SELECT 'FORMAT x' AS format FROM t"}},
		{"SELECT 1 FORMAT CSV SETTINGS max_threads = 1", statement{kind: selecting, text: "SELECT 1 FORMAT CSV SETTINGS max_threads = 1", format: "CSV"}},
		{"SELECT 1 INTO OUTFILE 'x'", statement{kind: other, text: "SELECT 1 INTO OUTFILE 'x'"}},
		{"set a = 1", statement{kind: sessionful, text: "set a = 1"}},
		{"USE db", statement{kind: sessionful, text: "USE db"}},
		{"CREATE OR REPLACE TEMPORARY TABLE t (a Int8)", statement{kind: sessionful, text: "CREATE OR REPLACE TEMPORARY TABLE t (a Int8)"}},
		{"CREATE TABLE temporary (a Int8)", statement{kind: sessionful, text: "CREATE TABLE temporary (a Int8)"}}, // harmless
		{"OPTIMIZE TABLE t", statement{kind: other, text: "OPTIMIZE TABLE t"}},
		{"INSERT INTO t FORMAT Native", statement{kind: inserting, text: "INSERT INTO t ", format: "Native"}},
		{"INSERT INTO t (a, format) SETTINGS x = 1 FORMAT CSV\n1,'FORMAT X'", statement{kind: inserting, text: "INSERT INTO t (a, format) SETTINGS x = 1 ", format: "CSV", data: "1,'FORMAT X'"}},
		{"INSERT INTO format FORMAT CSV\n\n1", statement{kind: inserting, text: "INSERT INTO format ", format: "CSV", data: "\n1"}},
		{"INSERT INTO db.format FORMAT CSV 1", statement{kind: inserting, text: "INSERT INTO db.format ", format: "CSV", data: "1"}},
		{"INSERT INTO TABLE FUNCTION null('a Int8') VALUES (1)", statement{kind: inserting, text: "INSERT INTO TABLE FUNCTION null('a Int8') ", format: "Values", data: " (1)"}},
		{"insert into t values (1, 'values')", statement{kind: inserting, text: "insert into t ", format: "Values", data: " (1, 'values')"}},
		{"INSERT INTO t (a) SELECT 1 FORMAT x", statement{kind: other, text: "INSERT INTO t (a) SELECT 1 FORMAT x"}},
		{"INSERT INTO t (SELECT 1)", statement{kind: other, text: "INSERT INTO t (SELECT 1)"}},
		{"INSERT INTO t WITH 1 AS a SELECT a", statement{kind: other, text: "INSERT INTO t WITH 1 AS a SELECT a"}},
		{"INSERT INTO t FROM INFILE 'x' FORMAT CSV", statement{kind: other, text: "INSERT INTO t FROM INFILE 'x' FORMAT CSV"}},
		{"INSERT INTO t (a);", statement{kind: inserting, text: "INSERT INTO t (a)", format: "Values"}},
		{"", statement{}},
	} {
		t.Run(row.sql, func(t *testing.T) { require.Equal(t, row.want, read(row.sql)) })
	}
}

// Behind FORMAT there is data, which is not looked at.
func TestReadStatementStopsAtTheData(t *testing.T) {
	data := strings.Repeat("\xff';`(", 1<<20)
	allocated := testing.AllocsPerRun(10, func() {
		require.Len(t, read("INSERT INTO t FORMAT Native\n"+data).data, len(data))
	})
	require.Less(t, allocated, 100.0)
}

func FuzzReadStatement(f *testing.F) {
	for _, seed := range []string{"SELECT 1 FORMAT JSON", "INSERT INTO t FORMAT Native\n\x02\xff", "INSERT INTO", "WITH", "INSERT INTO t(SELECT"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		s := read(sql)
		require.Contains(t, sql, s.data)
		require.True(t, strings.HasPrefix(strings.TrimSpace(sql), strings.TrimSpace(s.text)) || s.kind == inserting)
	})
}

func TestSetupKeysAreDistinct(t *testing.T) {
	a := setup{database: "d", settings: map[string]string{"a": "1", "b": "2"}}
	require.Equal(t, []string{"SET `a` = '1', `b` = '2'", "USE `d`"}, a.statements())
	require.NotEqual(t, a.key(), setup{database: "d", settings: map[string]string{"a": "1"}}.key())
	require.NotEqual(t, a.key(), setup{database: "e", settings: a.settings}.key())
	require.Equal(t, a.key(), setup{database: "d", settings: map[string]string{"b": "2", "a": "1"}}.key())
	require.Empty(t, setup{}.statements())
}
