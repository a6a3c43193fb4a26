package clickhouse_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/fault"
)

func TestMain(m *testing.M) { clickhousetest.Main(m, func() error { return goleak.Find() }) }

// Every type we use, each fifteen times over in one table, goes in and comes
// out through clickhouse-go unchanged.
func TestTypesRoundTrip(t *testing.T) {
	t.Parallel()
	db := clickhousetest.Open(t)
	ctx := t.Context()
	at := time.Date(2026, 2, 28, 23, 59, 59, 123456789, time.UTC)
	text := "ü\x00'\\\n"
	kinds := []struct {
		columnType string
		value      any
	}{
		{"UInt64", uint64(1<<64 - 1)},
		{"Int32", int32(-1 << 31)},
		{"Float64", 0.1},
		{"Bool", true},
		{"String", text},
		{"LowCardinality(String)", text},
		{"LowCardinality(Nullable(String))", (*string)(nil)},
		{"FixedString(16)", "0123456789abcdef"},
		{"Nullable(Float64)", (*float64)(nil)},
		{"Nullable(String)", &text},
		{"DateTime64(9, 'UTC')", at},
		{"DateTime('UTC')", at.Truncate(time.Second)},
		{"Date", at.Truncate(24 * time.Hour)},
		{"UUID", uuid.MustParse("0192f0a8-7e11-7c3a-9b1e-2f5a5b0c4d3e")},
		{"IPv6", netip.MustParseAddr("2001:db8::1")},
		{"Enum8('a' = 1, 'b' = 2)", "b"},
		{"Map(LowCardinality(String), String)", map[string]string{"a": text, "": ""}},
		{"Array(UInt64)", []uint64{1, 2, 3}},
		{"Array(Tuple(String, Float64))", [][]any{{"x", 1.5}, {"y", -2.5}}},
		{"Tuple(a UInt8, b String)", []any{uint8(7), "b"}},
	}
	const columns, rows = 300, 10
	var definitions, names []string
	var row []any
	for i := range columns {
		k := kinds[i%len(kinds)]
		names = append(names, fmt.Sprintf("c%d", i))
		definitions = append(definitions, names[i]+" "+k.columnType)
		row = append(row, k.value)
	}
	definitions = append(definitions, "nest Nested(name LowCardinality(String), at DateTime64(9, 'UTC'), tags Map(LowCardinality(String), String))")
	names = append(names, "nest.name", "nest.at", "nest.tags")
	row = append(row, []string{"e1", "e2"}, []time.Time{at, at}, []map[string]string{{"k": "v"}, {}})
	require.NoError(t, db.Exec(ctx, "CREATE TABLE t ("+strings.Join(definitions, ", ")+") ENGINE = MergeTree ORDER BY tuple()"))

	batch, err := db.Conn().PrepareBatch(ctx, "INSERT INTO t")
	require.NoError(t, err)
	for range rows {
		require.NoError(t, batch.Append(row...))
	}
	require.NoError(t, batch.Send())

	got, err := db.Query(ctx, "SELECT `"+strings.Join(names, "`, `")+"` FROM t")
	require.NoError(t, err)
	n := 0
	for got.Next() {
		var dest []any
		for _, c := range got.ColumnTypes() {
			dest = append(dest, reflect.New(c.ScanType()).Interface())
		}
		require.NoError(t, got.Scan(dest...))
		for i, d := range dest {
			require.EqualValues(t, normal(row[i]), normal(reflect.ValueOf(d).Elem().Interface()), "%s %s", names[i], got.ColumnTypes()[i].DatabaseTypeName())
		}
		n++
	}
	require.NoError(t, got.Err())
	require.NoError(t, got.Close())
	require.Equal(t, rows, n)
}

// normal makes values comparable that clickhouse-go gives another Go type.
func normal(v any) any {
	switch x := v.(type) {
	case time.Time:
		return x.UTC().UnixNano()
	case []time.Time:
		var out []int64
		for _, at := range x {
			out = append(out, at.UTC().UnixNano())
		}
		return out
	case map[string]any: // a named tuple
		return fmt.Sprint([]any{x["a"], x["b"]})
	case *string:
		if x != nil {
			return *x
		}
	}
	return fmt.Sprint(v)
}

func TestInsert(t *testing.T) {
	t.Parallel()
	db := clickhousetest.Open(t)
	ctx := t.Context()
	require.NoError(t, db.Ping(ctx))
	require.NoError(t, db.Exec(ctx, "CREATE TABLE t (id UInt64, name LowCardinality(String), `tags.é` Map(LowCardinality(String), String), `n``q` Nullable(Float64)) ENGINE = MergeTree ORDER BY id"))
	var id proto.ColUInt64
	name := new(proto.ColStr).LowCardinality()
	tags := proto.NewMap(new(proto.ColStr).LowCardinality(), new(proto.ColStr))
	missing := new(proto.ColFloat64).Nullable()
	input := proto.Input{{Name: "id", Data: &id}, {Name: "name", Data: name}, {Name: "tags.é", Data: tags}, {Name: "n`q", Data: missing}}
	require.NoError(t, db.Insert(ctx, "t", input), "no rows")
	const rows = 20_000
	for i := range rows {
		id.Append(uint64(i))
		name.Append(fmt.Sprintf("n%d", i%7))
		tags.Append(map[string]string{"k": fmt.Sprint(i)})
		missing.Append(proto.Nullable[float64]{Set: i%2 == 0, Value: float64(i)})
	}
	require.NoError(t, db.Insert(ctx, "t", input))
	require.NoError(t, db.Insert(ctx, db.Database()+".t", input), "the columns can be used again")
	var n, sum, set uint64
	require.NoError(t, db.QueryRow(ctx, "SELECT count(), sum(id), countIf(`n``q` = id) FROM t WHERE `tags.é`['k'] = toString(id) AND name = concat('n', toString(id % 7))").Scan(&n, &sum, &set))
	require.EqualValues(t, 2*rows, n)
	require.EqualValues(t, rows*(rows-1), sum)
	require.EqualValues(t, rows, set)

	id.Append(1)
	require.ErrorIs(t, db.Insert(ctx, "t", input), fault.Internal, "columns of different lengths")
	require.ErrorIs(t, db.Insert(ctx, "t", nil), fault.Internal, "no columns")
}

func TestInsertSettings(t *testing.T) {
	t.Parallel()
	db := clickhousetest.Open(t)
	ctx := t.Context()
	require.NoError(t, db.Exec(ctx, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100"))
	input := proto.Input{{Name: "id", Data: &proto.ColUInt64{1, 2, 3}}}
	count := func() (n uint64) {
		require.NoError(t, db.QueryRow(ctx, "SELECT count() FROM t").Scan(&n))
		return n
	}
	require.NoError(t, db.Insert(ctx, "t", input))
	require.NoError(t, db.Insert(ctx, "t", input))
	require.EqualValues(t, 3, count(), "the same block twice is one block")
	require.NoError(t, db.Insert(ctx, "t", input, clickhouse.Setting{Name: "insert_deduplication_token", Value: "x"}))
	require.EqualValues(t, 6, count())
	require.NoError(t, db.Insert(ctx, "t", input, clickhouse.Setting{Name: "deduplicate_insert", Value: "disable"}))
	require.EqualValues(t, 9, count())
}

func TestErrorsAreFaultsWithCodes(t *testing.T) {
	t.Parallel()
	db := clickhousetest.Open(t)
	ctx := t.Context()
	require.NoError(t, db.Exec(ctx, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id"))
	one := proto.Input{{Name: "id", Data: &proto.ColUInt64{1}}}
	queryError := func(sql string) error {
		rows, err := db.Query(ctx, sql)
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		return errors.Join(rows.Err(), rows.Close())
	}
	var n uint64
	for name, row := range map[string]struct {
		err    error
		kind   fault.Kind
		code   int
		symbol string
	}{
		"exec":           {db.Exec(ctx, "CREATE NONSENSE"), fault.Invalid, 62, "SYNTAX_ERROR"},
		"query":          {queryError("SELECT * FROM nowhere"), fault.NotFound, 60, "UNKNOWN_TABLE"},
		"within rows":    {queryError("SELECT throwIf(number = 50000) FROM numbers(100000) SETTINGS max_block_size = 1000, max_threads = 1"), fault.Internal, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"},
		"row":            {db.QueryRow(ctx, "SELECT nothing").Scan(&n), fault.Invalid, 47, "UNKNOWN_IDENTIFIER"},
		"exists":         {db.Exec(ctx, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id"), fault.Exists, 57, "TABLE_ALREADY_EXISTS"},
		"memory":         {queryError("SELECT count() FROM numbers(1e9) GROUP BY number SETTINGS max_memory_usage = 10000000"), fault.Unavailable, 241, "MEMORY_LIMIT_EXCEEDED"},
		"insert":         {db.Insert(ctx, "nowhere", one), fault.NotFound, 60, "UNKNOWN_TABLE"},
		"insert column":  {db.Insert(ctx, "t", proto.Input{{Name: "x", Data: &proto.ColUInt64{1}}}), fault.Invalid, 16, "NO_SUCH_COLUMN_IN_TABLE"},
		"insert setting": {db.Insert(ctx, "t", one, clickhouse.Setting{Name: "no_such", Value: "1"}), fault.Invalid, 115, "UNKNOWN_SETTING"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, row.err)
			require.ErrorIs(t, row.err, row.kind, "%v", row.err)
			e, ok := errors.AsType[*clickhouse.Error](row.err)
			require.True(t, ok, "%v", row.err)
			require.Equal(t, row.code, e.Code)
			require.Equal(t, row.symbol, e.Name)
			require.NotEmpty(t, e.Message)
			require.Contains(t, fault.Of(row.err).Message(), row.symbol)
		})
	}
	require.ErrorIs(t, db.QueryRow(ctx, "SELECT 1 WHERE 0").Scan(&n), sql.ErrNoRows)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, db.Exec(canceled, "SELECT 1"), fault.Canceled)
	require.ErrorIs(t, db.Insert(canceled, "t", one), fault.Canceled)
	late, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, db.Exec(late, "SELECT sleep(1)"), fault.Timeout)
}

func TestAWrongPasswordIsUnauthenticated(t *testing.T) {
	t.Parallel()
	url := clickhousetest.URL(t)
	at := strings.LastIndex(url, "@")
	db, err := clickhouse.Open(t.Context(), clickhouse.Config{URL: "http://default:wrong@" + url[at+1:]})
	require.NoError(t, err)
	defer db.Close()
	require.ErrorIs(t, db.Exec(t.Context(), "SELECT 1"), fault.Unauthenticated)
	err = db.Insert(t.Context(), "t", proto.Input{{Name: "id", Data: &proto.ColUInt64{1}}})
	require.ErrorIs(t, err, fault.Unauthenticated)
}

func TestAStoreThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}))
	defer broken.Close()
	overloaded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "upstream is overloaded", http.StatusServiceUnavailable)
	}))
	defer overloaded.Close()
	for name, server := range map[string]*httptest.Server{"gone": gone, "broken": broken, "overloaded": overloaded} {
		t.Run(name, func(t *testing.T) {
			db, err := clickhouse.Open(t.Context(), clickhouse.Config{URL: server.URL})
			require.NoError(t, err, "Open does not dial")
			defer db.Close()
			require.ErrorIs(t, db.Ping(t.Context()), fault.Unavailable)
			require.ErrorIs(t, db.Exec(t.Context(), "SELECT 1"), fault.Unavailable)
			err = db.Insert(t.Context(), "t", proto.Input{{Name: "id", Data: &proto.ColUInt64{1}}})
			require.ErrorIs(t, err, fault.Unavailable)
		})
	}
}

func TestLargeBlocksAndAnEarlyRefusal(t *testing.T) {
	t.Parallel()
	db := clickhousetest.Open(t)
	ctx := t.Context()
	var data proto.ColStr
	line := strings.Repeat("x", 1000)
	for range 30_000 {
		data.Append(line)
	}
	input := proto.Input{{Name: "s", Data: &data}}
	// The refusal comes while the body is still on its way.
	require.ErrorIs(t, db.Insert(ctx, "nowhere", input), fault.NotFound)
	require.NoError(t, db.Exec(ctx, "CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY tuple()"))
	require.NoError(t, db.Insert(ctx, "t", input))
	var n, size uint64
	require.NoError(t, db.QueryRow(ctx, "SELECT count(), sum(length(s)) FROM t").Scan(&n, &size))
	require.EqualValues(t, 30_000, n)
	require.EqualValues(t, 30_000_000, size)
}
