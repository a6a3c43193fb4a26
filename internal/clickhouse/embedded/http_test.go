package embedded_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
)

// client speaks the HTTP interface in the raw.
type client struct {
	t    *testing.T
	base string
	web  *http.Client
}

// raw is a client of the shared engine. It talks to it alone, even where
// other tests use an outside server.
func raw(t *testing.T) *client {
	t.Helper()
	engine := clickhousetest.Engine(t)
	if engine == nil {
		t.Skip("these tests are of the embedded engine; an outside server is in use")
	}
	return rawOf(t, engine)
}

func rawOf(t *testing.T, engine *embedded.Engine) *client {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, base: engine.URL(), web: &http.Client{Transport: transport}}
}

// do sends a request and returns the answer with its body read.
func (c *client) do(method string, params url.Values, body io.Reader, headers ...string) (*http.Response, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+"?"+params.Encode(), body)
	require.NoError(c.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.web.Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp, string(text)
}

// run runs a statement that must succeed.
func (c *client) run(sql string) string {
	c.t.Helper()
	resp, text := c.do(http.MethodPost, nil, strings.NewReader(sql))
	require.Equal(c.t, http.StatusOK, resp.StatusCode, text)
	return text
}

// table makes a table with a name of its own and returns the name.
func (c *client) table(columns string) string {
	name := strings.ToLower(fmt.Sprintf("t_%s_%d", strings.NewReplacer("/", "_").Replace(c.t.Name()), time.Now().UnixNano()))
	c.run("CREATE TABLE " + name + " (" + columns + ") ENGINE = MergeTree ORDER BY tuple()")
	c.t.Cleanup(func() {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.base, strings.NewReader("DROP TABLE "+name+" SYNC"))
		require.NoError(c.t, err)
		resp, err := c.web.Do(req)
		require.NoError(c.t, err)
		require.NoError(c.t, resp.Body.Close())
	})
	return name
}

func query(sql string, more ...string) url.Values {
	v := url.Values{}
	if sql != "" {
		v.Set("query", sql)
	}
	for i := 0; i < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v
}

func TestPingNeedsNoPassword(t *testing.T) {
	c := raw(t)
	u, err := url.Parse(c.base)
	require.NoError(t, err)
	u.User, u.Path = nil, "/ping"
	resp, err := c.web.Get(u.String())
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "Ok.\n", string(text))
}

func TestAWrongPasswordIsRefused(t *testing.T) {
	c := raw(t)
	u, err := url.Parse(c.base)
	require.NoError(t, err)
	secret, _ := u.User.Password()
	u.User = nil
	c.base = u.String()
	for _, row := range []struct {
		name    string
		params  url.Values
		headers []string
		status  int
	}{
		{"none", query("SELECT 1"), nil, http.StatusForbidden},
		{"wrong", query("SELECT 1"), []string{"X-ClickHouse-User", "default", "X-ClickHouse-Key", "x"}, http.StatusForbidden},
		{"other user", query("SELECT 1"), []string{"X-ClickHouse-User", "root", "X-ClickHouse-Key", secret}, http.StatusForbidden},
		{"wrong parameter", query("SELECT 1", "user", "default", "password", "x"), nil, http.StatusForbidden},
		{"key header", query("SELECT 1"), []string{"X-ClickHouse-User", "default", "X-ClickHouse-Key", secret}, http.StatusOK},
		{"parameter", query("SELECT 1", "user", "default", "password", secret), nil, http.StatusOK},
	} {
		t.Run(row.name, func(t *testing.T) {
			resp, text := c.do(http.MethodPost, row.params, nil, row.headers...)
			require.Equal(t, row.status, resp.StatusCode, text)
			if row.status != http.StatusOK {
				require.Equal(t, "516", resp.Header.Get("X-ClickHouse-Exception-Code"))
				require.Contains(t, text, "AUTHENTICATION_FAILED")
				require.NotContains(t, text, secret)
			}
		})
	}
}

func TestErrorsCarryCodes(t *testing.T) {
	c := raw(t)
	for _, row := range []struct {
		sql    string
		params []string
		code   string
		status int
		text   string
	}{
		{"SELECT no such thing", nil, "62", http.StatusBadRequest, "SYNTAX_ERROR"},
		{"", nil, "62", http.StatusBadRequest, "SYNTAX_ERROR"},
		{"SELECT * FROM nowhere", nil, "60", http.StatusNotFound, "UNKNOWN_TABLE"},
		{"SELECT 1", []string{"database", "nowhere"}, "81", http.StatusNotFound, "UNKNOWN_DATABASE"},
		{"SELECT 1", []string{"no_such_setting", "1"}, "115", http.StatusNotFound, "UNKNOWN_SETTING"},
		{"SELECT throwIf(number = 1) FROM numbers(2)", nil, "395", http.StatusInternalServerError, "FUNCTION_THROW_IF"},
		{"SELECT {a:UInt8}", []string{"param_a", "many"}, "457", http.StatusInternalServerError, "BAD_QUERY_PARAMETER"},
		{"INSERT INTO nowhere (a) FORMAT Native", nil, "60", http.StatusNotFound, "UNKNOWN_TABLE"},
		{"SELECT 1", []string{"session_id", "x"}, "1", http.StatusNotImplemented, "UNSUPPORTED_METHOD"},
		{"SELECT count() FROM numbers(1e9) GROUP BY number", []string{"max_memory_usage", "10000000"}, "241", http.StatusInternalServerError, "MEMORY_LIMIT"},
		{"SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))", []string{"max_execution_time", "1"}, "159", http.StatusRequestTimeout, "TIMEOUT_EXCEEDED"},
	} {
		t.Run(row.text, func(t *testing.T) {
			resp, text := c.do(http.MethodPost, query(row.sql, row.params...), nil)
			require.Equal(t, row.code, resp.Header.Get("X-ClickHouse-Exception-Code"), text)
			require.Equal(t, row.status, resp.StatusCode, text)
			require.Contains(t, text, "Code: "+row.code+". DB::Exception: ")
			require.Contains(t, text, row.text)
		})
	}
	require.Equal(t, "1\n", c.run("SELECT 1"))
}

func TestAnErrorInTheMiddleOfAResultIsFramed(t *testing.T) {
	c := raw(t)
	resp, text := c.do(http.MethodPost, query("SELECT throwIf(number = 5) FROM numbers(10) SETTINGS max_block_size = 1, max_threads = 1"), nil)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	tag := resp.Header.Get("X-ClickHouse-Exception-Tag")
	require.NotEmpty(t, tag)
	require.Regexp(t, `^(0\n){1,5}\r\n__exception__\r\n`+tag+`\r\nCode: 395\.`, text)
	require.True(t, strings.HasSuffix(text, tag+"\r\n__exception__\r\n"), text)
}

func TestStatementsOfEveryKind(t *testing.T) {
	c := raw(t)
	big := strings.Repeat("x", 300<<10)
	for _, row := range []struct {
		name   string
		params url.Values
		body   string
		want   string
	}{
		{"in the URL", query("SELECT 1"), "", "1\n"},
		{"in the body", nil, "SELECT 1", "1\n"},
		{"in both", query("SELECT 1"), "+ 2", "3\n"},
		{"format clause", nil, "SELECT 1 AS a FORMAT JSONEachRow", "{\"a\":1}\n"},
		{"format clause before settings", nil, "SELECT 1 AS a FORMAT JSONEachRow SETTINGS max_threads = 1", "{\"a\":1}\n"},
		{"default format", query("SELECT 1", "default_format", "CSV"), "", "1\n"},
		{"header once", nil, "SELECT number FROM numbers(3) SETTINGS max_block_size = 1 FORMAT CSVWithNames", "\"number\"\n0\n1\n2\n"},
		{"one document", nil, "SELECT number FROM numbers(2) SETTINGS max_block_size = 1 FORMAT JSONCompactColumns", "[\n\t[0, 1]\n]\n"},
		{"parameters", query("SELECT {a:String} || {b:String}", "param_a", "it's", "param_b", `a\tb`), "", `it\'sa\tb` + "\n"},
		{"setting", query("SELECT getSetting('max_block_size')", "max_block_size", "77"), "", "77\n"},
		{"setting gone again", query("SELECT getSetting('max_block_size') != 77"), "", "1\n"},
		{"database", query("SELECT currentDatabase()", "database", "system"), "", "system\n"},
		{"database gone again", query("SELECT currentDatabase()"), "", "default\n"},
		{"SET stays in its request", nil, "SET max_block_size = 78", ""},
		{"SET is gone", query("SELECT getSetting('max_block_size') != 78"), "", "1\n"},
		{"USE stays in its request", nil, "USE system", ""},
		{"USE is gone", query("SELECT currentDatabase()"), "", "default\n"},
		{"temporary table", nil, "CREATE TEMPORARY TABLE tmp (a Int32)", ""},
		{"temporary table is gone", nil, "EXISTS TEMPORARY TABLE tmp", "0\n"},
		{"comment at the end", nil, "SELECT 1 -- one", "1\n"},
		{"semicolon at the end", nil, "SELECT 1;", "1\n"},
		{"WITH", nil, "WITH 1 AS a SELECT a", "1\n"},
		{"SHOW", nil, "SHOW DATABASES LIKE 'sys%'", "system\n"},
		{"EXPLAIN", nil, "EXPLAIN SYNTAX SELECT 1", "SELECT 1\nFROM system.one\n"},
		{"no rows", nil, "SELECT 1 WHERE 0", ""},
		{"a long statement", query("", "max_query_size", "1000000"), "SELECT length('" + big + "')", "307200\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			resp, text := c.do(http.MethodPost, row.params, strings.NewReader(row.body))
			require.Equal(t, http.StatusOK, resp.StatusCode, text)
			require.Equal(t, row.want, text)
			require.NotEmpty(t, resp.Header.Get("X-ClickHouse-Query-Id"))
		})
	}
	require.Equal(t, "1\n", c.run("SELECT count() FROM system.processes"), "nothing is left running")
	resp, text := c.do(http.MethodGet, query("SELECT 1", "query_id", "mine"), nil)
	require.Equal(t, "1\n", text)
	require.Equal(t, "mine", resp.Header.Get("X-ClickHouse-Query-Id"))
}

// TestStatementsHaveTheirThreads: the engine has less memory than it wants for threads.
func TestStatementsHaveTheirThreads(t *testing.T) {
	require.Contains(t, raw(t).run("EXPLAIN PIPELINE SELECT sum(number) FROM numbers_mt(1000000)"), "AggregatingTransform × 2")
}

func TestAStatementIsStoppedWhenItsClientLeaves(t *testing.T) {
	c := raw(t)
	for name, sql := range map[string]string{
		"before the first block": "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number), 'leaver')",
		"within the result":      "SELECT number, 'leaver' FROM numbers(1000000000000)",
		"of another format":      "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number), 'leaver') FORMAT JSON",
		"of another kind":        "CREATE TABLE leaver ENGINE = Memory AS SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))",
	} {
		t.Run(name, func(t *testing.T) {
			running := func() string {
				return c.run("SELECT count() FROM system.processes WHERE query LIKE '%leaver%' AND query NOT LIKE '%processes%'")
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			left := make(chan struct{})
			go func() {
				defer close(left)
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base, strings.NewReader(sql))
				if err != nil {
					return
				}
				if resp, err := c.web.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}()
			require.Eventually(t, func() bool { return running() == "1\n" }, 10*time.Second, 10*time.Millisecond)
			cancel()
			<-left
			require.Eventually(t, func() bool { return running() == "0\n" }, 10*time.Second, 10*time.Millisecond)
			require.Equal(t, "1\n", c.run("SELECT 1"))
		})
	}
}

func TestALargeResultIsStreamed(t *testing.T) {
	engine := start(t, t.TempDir())
	c := rawOf(t, engine)
	c.run("SELECT number FROM numbers(100000)") // warm
	before := anonymous(t, engine.PID())
	// 1 M rows of 1 KiB.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.base+"?default_format=Native",
		strings.NewReader("SELECT number, repeat('x', 1024) AS s FROM numbers(1000000) SETTINGS max_threads = 1"))
	require.NoError(t, err)
	resp, err := c.web.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var size, peak int64
	chunk := make([]byte, 4<<20)
	for err == nil {
		var n int
		n, err = io.ReadFull(resp.Body, chunk)
		size += int64(n)
		peak = max(peak, anonymous(t, engine.PID()))
	}
	require.Greater(t, size, int64(1_032_000_000))
	require.Less(t, peak-before, int64(300<<20), "the child grew by %d MiB", (peak-before)>>20)
}

// anonymous is the memory of a process that is no file's, in bytes.
func anonymous(t testing.TB, pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			require.NoError(t, err)
			return kib << 10
		}
	}
	t.Fatal("no RssAnon")
	return 0
}

func TestTooManyStatementsAreRefused(t *testing.T) {
	engine, err := embedded.Start(context.Background(), embedded.Config{
		Library: clickhousetest.Library(t), Path: t.TempDir(), Log: discard(), Command: clickhousetest.Command,
		Limits: embedded.Limits{Reads: 1, Queue: 1},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Stop(soon(t))) })
	require.NoError(t, engine.Ready(soon(t)))
	c := rawOf(t, engine)
	codes := make(chan string, 6)
	for range cap(codes) {
		go func() {
			resp, text := c.do(http.MethodPost, query("SELECT sleep(0.5) FORMAT Null"), nil)
			if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
				t.Error(text)
			}
			codes <- resp.Header.Get("X-ClickHouse-Exception-Code")
		}()
	}
	got := map[string]int{}
	for range cap(codes) {
		got[<-codes]++
	}
	require.Equal(t, map[string]int{"": 2, "202": 4}, got)
}
