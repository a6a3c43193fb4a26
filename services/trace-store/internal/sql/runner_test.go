package sql_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/schema"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/sql"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// secret is what only the other tenant's rows have; so is secretTrace.
const (
	secret      = "hunter2-of-the-other-tenant"
	secretTrace = "the other trace!"
)

type fixture struct {
	t      *testing.T
	db     *clickhouse.DB
	runner *sql.Runner
}

// setup stores one span of each of two tenants, acme and other.
func setup(t *testing.T, limits sql.Limits) *fixture {
	t.Helper()
	db := clickhousetest.Open(t)
	require.NoError(t, db.Migrate(t.Context(), schema.SpansOwner, schema.Spans()))
	runner, err := sql.New(t.Context(), db, limits)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, runner.Close()) })
	w := store.NewWriter(db, store.WriterConfig{})
	for i, tenant := range []string{"acme", "other"} {
		id, name := "acme's own trace", "own span"
		if tenant == "other" {
			id, name = secretTrace, secret
		}
		_, err := w.Write(t.Context(), []store.Message{{
			ID: tenant, Tenant: tenant, ReceivedAt: time.Unix(1_795_000_000, int64(i)), Count: 1, Value: request(id, name),
		}})
		require.NoError(t, err)
	}
	return &fixture{t: t, db: db, runner: runner}
}

func request(id, name string) []byte {
	text := func(k, v string) *commonv1.KeyValue {
		return &commonv1.KeyValue{Key: k, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: v}}}
	}
	return tracetest.Marshal(&tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{
		Resource: &resourcev1.Resource{Attributes: []*commonv1.KeyValue{text("service.name", "shop")}},
		ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{{
			TraceId: []byte(id), SpanId: []byte("01234567"), Name: name, StartTimeUnixNano: 1_795_000_000e9, EndTimeUnixNano: 1_795_000_000e9 + 5,
			Attributes: []*commonv1.KeyValue{text("value", name)},
		}}}},
	}}})
}

// run gives the columns and rows of a statement of acme, one a line.
func (f *fixture) run(statement string) (out string, cut bool, err error) {
	var b strings.Builder
	cut, err = f.runner.Run(f.t.Context(), "acme", statement, sql.Result{
		Begin: func(columns []sql.Column) error {
			for _, c := range columns {
				fmt.Fprintf(&b, "%s:%s ", c.Name, c.Type)
			}
			return nil
		},
		Row: func(json string) error {
			b.WriteString("\n" + json)
			return nil
		},
	})
	return b.String(), cut, err
}

func TestRun(t *testing.T) {
	f := setup(t, sql.Limits{Rows: 1000})
	for name, tt := range map[string]struct{ statement, want string }{
		"a count":             {"SELECT count() AS n FROM otel_traces", "n:UInt64 \n[1]"},
		"names":               {"SELECT SpanName, ServiceName FROM otel_traces;", "SpanName:LowCardinality(String) ServiceName:LowCardinality(String) \n[\"own span\", \"shop\"]"},
		"an attribute":        {"select SpanAttributes['value'] v from otel_traces -- mine", "v:String \n[\"own span\"]"},
		"a trace by its id":   {"SELECT Duration FROM otel_traces WHERE TraceId = lower(hex('acme\\'s own trace'))", "Duration:UInt64 \n[5]"},
		"what Grafana asks":   {"WITH lower(hex('acme\\'s own trace')) AS id, (SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = id) AS s SELECT toString(s) AS at, count() AS n FROM otel_traces WHERE TraceId = id AND Timestamp >= s", "at:Nullable(String) n:UInt64 \n[\"2026-11-18 11:06:40\", 1]"},
		"order and limit":     {"SELECT number FROM numbers(5) ORDER BY number DESC LIMIT 2", "number:UInt64 \n[4]\n[3]"},
		"big numbers":         {"SELECT 18446744073709551615 AS n, -1 AS m, 1.5 AS d, NULL AS x, [1, 2] AS a", "n:UInt64 m:Int8 d:Float64 x:Nullable(Nothing) a:Array(UInt8) \n[18446744073709551615, -1, 1.5, null, [1,2]]"},
		"a join with itself":  {"SELECT a.SpanName AS s FROM otel_traces AS a INNER JOIN otel_traces AS b USING (TraceId)", "s:LowCardinality(String) \n[\"own span\"]"},
		"aggregates":          {"SELECT quantile(0.5)(Duration) AS q, uniq(TraceId) AS u FROM otel_traces GROUP BY toStartOfInterval(Timestamp, INTERVAL 1 HOUR)", "q:Float64 u:UInt64 \n[5, 1]"},
		"the function format": {"SELECT format('{}-{}', 'a', 'b') AS f", "f:String \n[\"a-b\"]"},
		"casts and types":     {"SELECT CAST(Duration AS Nullable(Decimal(10, 2))) AS d, Duration::Float64 AS f FROM otel_traces", "d:Nullable(Decimal(10, 2)) f:Float64 \n[5, 5]"},
	} {
		t.Run(name, func(t *testing.T) {
			got, cut, err := f.run(tt.statement)
			require.NoError(t, err)
			require.False(t, cut)
			require.Equal(t, tt.want, got)
		})
	}
}

// TestLimits: each bound holds, and says so.
func TestLimits(t *testing.T) {
	f := setup(t, sql.Limits{Rows: 10, Text: 200, Memory: 32 << 20, Timeout: time.Second, Bytes: 4000})
	got, cut, err := f.run("SELECT number FROM numbers(11)")
	require.NoError(t, err)
	require.True(t, cut)
	require.Equal(t, 10, strings.Count(got, "\n"))
	_, cut, err = f.run("SELECT repeat('x', 2000) FROM numbers(5)")
	require.NoError(t, err)
	require.True(t, cut)
	_, _, err = f.run("SELECT '" + strings.Repeat("x", 200) + "'")
	require.ErrorIs(t, err, fault.Invalid)
	_, _, err = f.run("SELECT count() FROM (SELECT number FROM numbers(100000000) GROUP BY number)")
	require.ErrorIs(t, err, fault.Exhausted)
	start := time.Now()
	_, _, err = f.run("SELECT max(cityHash64(number)) FROM numbers(1000000000000)")
	require.ErrorIs(t, err, fault.Timeout)
	require.Less(t, time.Since(start), 20*time.Second)
	_, _, err = f.run("SELECT nothing FROM otel_traces")
	require.ErrorIs(t, err, fault.Invalid)
	require.Contains(t, fault.Of(err).Message(), "nothing")
}

// TestAttacks: no statement reads what is not the tenant's, writes, reaches out
// of the engine, or changes its own bounds, and no error tells of others.
func TestAttacks(t *testing.T) {
	f := setup(t, sql.Limits{})
	database, guests := f.db.Database(), f.db.GuestDatabase()
	target := filepath.Join(t.TempDir(), "out")
	secretHex := fmt.Sprintf("%x", secretTrace)
	refused := []string{
		// other tables
		"SELECT * FROM " + database + ".spans",
		"SELECT * FROM `" + database + "`.`spans`",
		"SELECT * FROM " + database + ".otel_traces",
		"SELECT * FROM " + database + ".span_index",
		"SELECT * FROM spans",
		"SELECT (SELECT groupArray(SpanName) FROM " + database + ".spans)",
		"SELECT 1 IN (SELECT 1 FROM " + database + ".spans)",
		"SELECT * FROM otel_traces AS a JOIN " + database + ".spans AS b ON 1 = 1",
		"WITH x AS (SELECT * FROM " + database + ".spans) SELECT * FROM x",
		"SELECT * FROM otel_traces UNION ALL SELECT * FROM " + database + ".otel_traces",
		"SELECT * FROM system.processes", "SELECT * FROM SYSTEM.processes", "SELECT * FROM `system`.`query_log`", "SELECT * FROM \"system\".parts",
		"SELECT * FROM system . tables", "SELECT * FROM system/**/./**/tables", "SELECT * FROM INFORMATION_SCHEMA.TABLES", "SELECT 1 IN system.one",
		"SELECT * FROM default.`/etc/passwd`",
		// table functions
		"SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
		"SELECT * FROM remote('127.0.0.1', " + database + ".spans)", "SELECT * FROM remoteSecure('127.0.0.1', " + database + ".spans)",
		"SELECT * FROM s3('http://127.0.0.1/x', 'CSV')", "SELECT * FROM mysql('127.0.0.1', 'a', 'b', 'c', 'd')",
		"SELECT * FROM merge('" + database + "', 'spans')", "SELECT * FROM merge('system', 'processes')", "SELECT * FROM cluster('default', " + database + ".spans)",
		"SELECT * FROM executable('x', 'TSV', 'a String')", "SELECT * FROM mergeTreeIndex('" + database + "', 'spans')",
		"SELECT * FROM viewIfPermitted(SELECT * FROM " + database + ".spans ELSE null('x Int32'))", "SELECT * FROM view(SELECT * FROM " + database + ".spans)",
		"SELECT * FROM dictionary('" + database + ".d')", "SELECT * FROM loop(" + database + ".spans)", "SELECT * FROM input('a Int8')",
		"SELECT * FROM `file`('/etc/passwd', 'LineAsString')", "SELECT * FROM FILE('/etc/passwd')", "SELECT * FROM sqlite('/tmp/x', 'y')",
		"SELECT * FROM 'file:///etc/passwd'",
		// functions
		"SELECT file('/etc/passwd')", "SELECT `file`('/etc/passwd')", "SELECT FILE('/etc/passwd')", "SELECT '/etc/passwd' AS p, file(p)",
		"SELECT * APPLY(file) FROM (SELECT '/etc/passwd')", "SELECT * APPLY file FROM (SELECT '/etc/passwd')", "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
		"SELECT dictGet('" + database + ".d', 'a', 1)", "SELECT joinGet('" + database + ".spans', 'SpanName', 'x')", "SELECT getSetting('log_comment')",
		"SELECT getServerSetting('path')", "SELECT getMacro('x')", "SELECT hostName()", "SELECT sleep(3)", "SELECT sleepEachRow(1) FROM numbers(3)",
		"SELECT hasColumnInTable('" + database + "', 'spans', 'SpanName')", "SELECT currentUser()", "SELECT showCertificate()", "SELECT filesystemAvailable()",
		// other statements, and several
		"SELECT 1; SELECT SpanName FROM " + database + ".spans", "SELECT 1; SET ROLE driftmesh", "SET ROLE driftmesh", "SET readonly = 0", "SET log_comment = 'other'",
		"DROP TABLE " + database + ".spans", "INSERT INTO " + database + ".spans SELECT * FROM " + database + ".spans", "CREATE TABLE x (a Int8) ENGINE = Memory",
		"CREATE TEMPORARY TABLE x (a Int8)", "TRUNCATE TABLE otel_traces", "ALTER TABLE " + database + ".spans DELETE WHERE 1", "SYSTEM SHUTDOWN", "KILL QUERY WHERE 1",
		"USE " + database, "SHOW TABLES", "SHOW CREATE TABLE " + guests + ".otel_traces", "DESCRIBE TABLE " + database + ".spans", "EXPLAIN SELECT 1",
		"SELECT * FROM (EXPLAIN SELECT * FROM otel_traces)", "EXECUTE AS default SELECT 1", "GRANT ALL ON *.* TO default", "ATTACH TABLE x", "BACKUP TABLE otel_traces TO Disk('d', 'x')",
		// settings, formats, files
		"SELECT * FROM otel_traces SETTINGS log_comment = 'other'", "SELECT * FROM (SELECT * FROM otel_traces SETTINGS log_comment = 'other')",
		"SELECT 1 SETTINGS readonly = 0", "SELECT 1 SETTINGS max_execution_time = 0", "SELECT * FROM otel_traces FORMAT JSON",
		"SELECT * FROM otel_traces INTO OUTFILE '" + target + "'", "SELECT 1 INTO OUTFILE '" + target + "' FORMAT CSV",
		// out of the parenthesis that we put around it
		"SELECT 1) UNION ALL (SELECT SpanName FROM " + database + ".spans", "SELECT 1) FORMAT JSON --", "SELECT 1) SETTINGS log_comment = 'other' --", ") --", "(", "SELECT 1 /*", "SELECT '", "",
		" ", ";", "-- nothing", "SELECT {x:String}", "SELECT $$;$$ FROM " + database + ".spans", "SELECT ‘x’; SELECT 1",
		"SELECT\x001", "\xff\xfe", "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM " + database + ".spans) SELECT * FROM x",
	}
	for _, statement := range refused {
		t.Run("refused "+statement, func(t *testing.T) {
			got, _, err := f.run(statement)
			require.Error(t, err, got)
			kind := fault.KindOf(err)
			require.Contains(t, []fault.Kind{fault.Invalid, fault.Denied}, kind, "%v", err)
			f.clean(t, got+fault.Of(err).Message())
		})
	}
	// These are honest SELECTs, or errors while rows are read: either way they
	// see the tenant's row alone.
	for _, statement := range []string{
		"SELECT * FROM otel_traces", "SELECT * FROM " + guests + ".otel_traces", "SELECT * FROM otel_traces_trace_id_ts",
		"SELECT * FROM otel_traces WHERE 1 OR 1", "SELECT * FROM otel_traces WHERE TraceId = '" + secretHex + "' OR 1 = 1",
		"SELECT * FROM otel_traces WHERE throwIf(SpanName != 'own span') = 0", "SELECT * FROM otel_traces PREWHERE throwIf(SpanName != 'own span') = 0",
		"SELECT CAST(SpanName AS UInt8) FROM otel_traces", "SELECT * FROM otel_traces WHERE CAST(SpanName AS UInt8) = 1",
		"SELECT toUInt8(SpanAttributes['value']) FROM otel_traces", "SELECT * FROM otel_traces WHERE toUInt8(StatusMessage) = 1",
		"SELECT * FROM otel_traces ORDER BY throwIf(SpanName != 'own span')", "SELECT sum(throwIf(SpanName != 'own span')) FROM otel_traces",
		"SELECT count() FROM otel_traces HAVING throwIf(count() != 1) = 0", "SELECT min(SpanName), max(SpanName), any(TraceId) FROM otel_traces",
		"WITH otel_traces AS (SELECT * FROM " + guests + ".otel_traces) SELECT * FROM otel_traces", "WITH 'other' AS Tenant SELECT * FROM otel_traces",
		"SELECT 'other' AS log_comment, * FROM otel_traces", "SELECT * FROM otel_traces SAMPLE 1", "SELECT * FROM otel_traces FINAL",
		"SELECT * FROM otel_traces AS a, otel_traces AS b", "SELECT DISTINCT arrayJoin(mapValues(SpanAttributes)) FROM otel_traces",
		"SELECT * FROM numbers(2) AS n LEFT JOIN otel_traces AS t ON n.number = 0 OR t.Duration > 0", "SELECT * REPLACE('x' AS SpanName) FROM otel_traces",
		"SELECT reinterpretAsUInt8(SpanName) / 0, SpanName FROM otel_traces", "SELECT JSONExtract(SpanName, 'Array(UInt8)') FROM otel_traces",
		"SELECT lower(hex(TraceId)), toUInt256(TraceId) FROM otel_traces WHERE TraceId > '" + secretHex[:8] + "'", "SELECT COLUMNS('.*') FROM otel_traces",
		"SELECT errorCodeToName(6), formatRow('JSON', SpanName) FROM otel_traces", "SELECT * FROM otel_traces LIMIT 1 WITH TIES", "SELECT _part, * FROM otel_traces",
	} {
		t.Run("own rows "+statement, func(t *testing.T) {
			got, _, err := f.run(statement)
			if err != nil {
				require.Contains(t, []fault.Kind{fault.Invalid, fault.Denied}, fault.KindOf(err), "%v", err)
				got += fault.Of(err).Message()
			}
			f.clean(t, got)
		})
	}
	var n uint64
	require.NoError(t, f.db.QueryRow(t.Context(), "SELECT count() FROM spans").Scan(&n))
	require.Equal(t, uint64(2), n)
	_, err := os.Stat(target)
	require.ErrorIs(t, err, os.ErrNotExist)
	t.Run("without a tenant there is nothing", func(t *testing.T) {
		_, err := f.runner.Run(t.Context(), "", "SELECT 1", sql.Result{})
		require.ErrorIs(t, err, fault.Denied)
	})
}

// TestWallsBehindTheCheck: what ClickHouse itself refuses a guest, should a
// statement ever get past the check.
func TestWallsBehindTheCheck(t *testing.T) {
	f := setup(t, sql.Limits{})
	_, _, err := f.run("SELECT 1")
	require.NoError(t, err)
	_, err = f.runner.Run(t.Context(), "other", "SELECT 1", sql.Result{
		Begin: func([]sql.Column) error { return nil }, Row: func(string) error { return nil },
	})
	require.NoError(t, err)
	var token string
	require.NoError(t, f.db.QueryRow(t.Context(), "SELECT Token FROM sql_tokens WHERE Tenant = 'acme'").Scan(&token))
	guests, err := f.db.OpenGuests(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, guests.Close()) })
	ctx := clickhousego.Context(t.Context(), clickhousego.WithSettings(clickhousego.Settings{
		"role": "driftmesh_sql", "readonly": 1, "log_comment": token,
	}))
	for _, statement := range []string{
		"SELECT count() FROM " + f.db.Database() + ".spans", "SELECT count() FROM " + f.db.Database() + ".otel_traces",
		"SELECT count() FROM otel_traces SETTINGS log_comment = 'other'",
		"SELECT count() FROM remote('127.0.0.1', " + f.db.Database() + ".spans)", "SELECT count() FROM file('/etc/passwd', 'LineAsString')",
		"SELECT count() FROM url('http://127.0.0.1:1/', 'LineAsString')", "SELECT count() FROM mergeTreeIndex('" + f.db.Database() + "', 'spans')",
	} {
		var n uint64
		require.ErrorIs(t, guests.QueryRow(ctx, statement).Scan(&n), fault.Denied, statement)
	}
	var n uint64
	require.NoError(t, guests.QueryRow(ctx, "SELECT countIf(throwIf(SpanName != 'own span') = 0) FROM otel_traces WHERE throwIf(SpanName != 'own span') = 0").Scan(&n),
		"other rows are gone before the statement computes anything")
	require.Equal(t, uint64(1), n)
	// Within a subquery ClickHouse takes the clause, readonly or not; but a name is
	// no token, and the tokens are not to be read.
	for _, guess := range []string{"other", "acme", "", "%"} {
		require.NoError(t, guests.QueryRow(ctx, "SELECT count() FROM (SELECT * FROM otel_traces SETTINGS log_comment = '"+guess+"')").Scan(&n))
		require.Zero(t, n, guess)
	}
	require.ErrorIs(t, guests.QueryRow(ctx, "SELECT count() FROM "+f.db.Database()+".sql_tokens").Scan(&n), fault.Denied)
	require.ErrorIs(t, guests.Exec(ctx, "INSERT INTO "+f.db.Database()+".spans (Tenant) VALUES ('acme')"), fault.Denied)
}

// clean fails when text tells something that is not the tenant's.
func (f *fixture) clean(t *testing.T, text string) {
	t.Helper()
	for _, word := range []string{secret, secretTrace, fmt.Sprintf("%x", secretTrace), "root:x:", "formatRowNoNewline", "DB::Exception"} {
		require.NotContains(t, text, word)
	}
}
