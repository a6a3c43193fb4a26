package embedded_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
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

func TestInsertsOfEveryKind(t *testing.T) {
	c := raw(t)
	for _, row := range []struct {
		name   string
		params func(table string) url.Values
		body   func(table string) string
		want   string
	}{
		{"VALUES in the body", nil, func(n string) string { return "INSERT INTO " + n + " VALUES (1, 'a'), (1 + 1, 'b;c')" }, "1\ta\n2\tb;c\n"},
		{"VALUES in the URL", func(n string) url.Values { return query("INSERT INTO " + n + " (n, s) VALUES") }, func(string) string { return "(1, 'a')" }, "1\ta\n"},
		{"CSV", func(n string) url.Values { return query("INSERT INTO " + n + " FORMAT CSV") }, func(string) string { return "1,a\n2,b\n" }, "1\ta\n2\tb\n"},
		{"JSON in the body", nil, func(n string) string {
			return "INSERT INTO " + n + " SETTINGS input_format_skip_unknown_fields = 1 FORMAT JSONEachRow\n{\"n\":1,\"s\":\"a\",\"x\":0}"
		}, "1\ta\n"},
		{"no format", func(n string) url.Values { return query("INSERT INTO " + n) }, func(string) string { return "(7, 'g')" }, "7\tg\n"},
		{"select", nil, func(n string) string { return "INSERT INTO " + n + " SELECT number, 'x' FROM numbers(2)" }, "0\tx\n1\tx\n"},
		{"nothing", func(n string) url.Values { return query("INSERT INTO " + n + " FORMAT Native") }, func(string) string { return "" }, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			table := c.table("n UInt64, s String")
			var params url.Values
			if row.params != nil {
				params = row.params(table)
			}
			resp, text := c.do(http.MethodPost, params, strings.NewReader(row.body(table)))
			require.Equal(t, http.StatusOK, resp.StatusCode, text)
			require.Contains(t, resp.Header.Get("X-ClickHouse-Summary"), fmt.Sprintf(`"written_rows":"%d"`, strings.Count(row.want, "\n")))
			require.Equal(t, row.want, c.run("SELECT n, s FROM "+table+" ORDER BY n"))
		})
	}
}

// native is a Native block of revision 0 with the numbers [from, to).
func native(t testing.TB, from, to int) []byte {
	var n proto.ColUInt64
	var s proto.ColStr
	for i := from; i < to; i++ {
		n.Append(uint64(i))
		s.Append("row " + strconv.Itoa(i))
	}
	var buf proto.Buffer
	block := proto.Block{Columns: 2, Rows: to - from}
	require.NoError(t, block.EncodeBlock(&buf, 0, []proto.InputColumn{{Name: "n", Data: &n}, {Name: "s", Data: &s}}))
	return buf.Buf
}

func TestContentEncodings(t *testing.T) {
	c := raw(t)
	data := native(t, 0, 10_000)
	pack := func(z io.WriteCloser, buf *bytes.Buffer) []byte {
		_, err := z.Write(data)
		require.NoError(t, err)
		require.NoError(t, z.Close())
		return buf.Bytes()
	}
	var plain, gz, ls, br bytes.Buffer
	plain.Write(data)
	zs, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	frames := compress.NewWriter(compress.LevelZero, compress.LZ4)
	require.NoError(t, frames.Compress(data))
	for _, row := range []struct {
		encoding string
		body     []byte
		params   []string
	}{
		{"", plain.Bytes(), nil},
		{"gzip", pack(gzip.NewWriter(&gz), &gz), nil},
		{"lz4", pack(lz4.NewWriter(&ls), &ls), nil},
		{"br", pack(brotli.NewWriter(&br), &br), nil},
		{"zstd", zs.EncodeAll(data, nil), nil},
		{"", frames.Data, []string{"decompress", "1"}},
	} {
		t.Run(row.encoding+strings.Join(row.params, ""), func(t *testing.T) {
			table := c.table("n UInt64, s String")
			params := query("INSERT INTO "+table+" FORMAT Native", row.params...)
			resp, text := c.do(http.MethodPost, params, bytes.NewReader(row.body), "Content-Encoding", row.encoding)
			require.Equal(t, http.StatusOK, resp.StatusCode, text)
			require.Equal(t, "10000\t49995000\n", c.run("SELECT count(), sum(n) FROM "+table))

			resp, _ = c.do(http.MethodPost, params, bytes.NewReader(row.body[:len(row.body)/2]), "Content-Encoding", row.encoding)
			require.NotEqual(t, http.StatusOK, resp.StatusCode, "half a body")
			require.Equal(t, "10000\n", c.run("SELECT count() FROM "+table))
		})
	}
	resp, text := c.do(http.MethodPost, query("SELECT 1"), nil, "Content-Encoding", "bogus")
	require.Equal(t, http.StatusNotImplemented, resp.StatusCode, text)
}

func TestMalformedNativeDataHurtsNobody(t *testing.T) {
	c := raw(t)
	table := c.table("n UInt64, s String")
	params := query("INSERT INTO " + table + " FORMAT Native")
	good := native(t, 0, 1000)
	huge := append([]byte{2, 0xff, 0xff, 0xff, 0xff, 0x0f}, good[4:]...)
	wrongType := bytes.Replace(good, []byte("\x06UInt64"), []byte("\x06IPv4xx"), 1)
	for name, body := range map[string][]byte{
		"text": []byte("this is no native block at all"), "half": good[:len(good)/2], "ones": bytes.Repeat([]byte{0xff}, 100_000),
		"zeros": make([]byte, 100), "huge count": huge, "wrong type": wrongType,
		"good then bad": append(bytes.Clone(good), "garbage"...),
	} {
		t.Run(name, func(t *testing.T) {
			pid := clickhousetest.Engine(t).PID()
			resp, text := c.do(http.MethodPost, params, bytes.NewReader(body))
			if name == "zeros" { // empty blocks, all of them
				require.Equal(t, http.StatusOK, resp.StatusCode, text)
			} else {
				require.NotEqual(t, http.StatusOK, resp.StatusCode, text)
				require.NotEmpty(t, resp.Header.Get("X-ClickHouse-Exception-Code"))
				require.Contains(t, text, "DB::Exception")
			}
			require.Equal(t, "0\n", c.run("SELECT count() FROM "+table))
			require.Equal(t, pid, clickhousetest.Engine(t).PID(), "the engine lives")
		})
	}
	resp, text := c.do(http.MethodPost, params, bytes.NewReader(good))
	require.Equal(t, http.StatusOK, resp.StatusCode, text)
	require.Equal(t, "1000\n", c.run("SELECT count() FROM "+table))
}

func TestAnInsertBrokenOffStoresNothing(t *testing.T) {
	c := raw(t)
	table := c.table("n UInt64, s String")
	ctx, cancel := context.WithCancel(t.Context())
	body, feed := io.Pipe()
	go func() {
		_, _ = feed.Write(native(t, 0, 50_000)) // a whole block, which could be stored
		cancel()
		_ = feed.CloseWithError(context.Canceled)
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"?"+query("INSERT INTO "+table+" FORMAT Native").Encode(), body)
	require.NoError(t, err)
	_, err = c.web.Do(req)
	require.ErrorIs(t, err, context.Canceled)
	require.Eventually(t, func() bool {
		return c.run("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO "+table+"%'") == "0\n"
	}, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, "0\n", c.run("SELECT count() FROM "+table))
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

func TestInsertsAndSelectsAtOnce(t *testing.T) {
	c := raw(t)
	table := c.table("n UInt64, s String")
	const writers, rounds, rows = 6, 10, 1000
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for r := range rounds {
				from := (w*rounds + r) * rows
				resp, text := c.do(http.MethodPost, query("INSERT INTO "+table+" FORMAT Native"), bytes.NewReader(native(t, from, from+rows)))
				if resp.StatusCode != http.StatusOK {
					t.Error(text)
				}
			}
		})
	}
	for range 8 {
		wait.Go(func() {
			last := 0
			for range 30 {
				n, err := strconv.Atoi(strings.TrimSpace(c.run("SELECT count() FROM " + table)))
				if err != nil || n%rows != 0 || n < last {
					t.Errorf("a reader saw %d rows after %d: %v", n, last, err)
				}
				last = n
			}
		})
	}
	wait.Wait()
	total := writers * rounds * rows
	require.Equal(t, fmt.Sprintf("%d\t%d\t%d\n", total, total, total*(total-1)/2), c.run("SELECT count(), uniqExact(n), sum(n) FROM "+table))
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
