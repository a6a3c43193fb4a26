package embedded_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
)

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
	block := native(t, 0, 50_000) // a whole one, which could be stored
	go func() {
		_, _ = feed.Write(block)
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
