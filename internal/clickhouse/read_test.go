package clickhouse_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/fault"
)

func TestReadGivesEveryBlock(t *testing.T) {
	t.Parallel()
	db := clickhousetest.Open(t)
	var n proto.ColUInt64
	lists, texts := new(proto.ColFloat64).Array(), proto.NewArray(new(proto.ColStr).LowCardinality())
	columns := proto.Results{{Name: "n", Data: &n}, {Name: "lists", Data: lists}, {Name: "texts", Data: texts}}
	query := `SELECT number AS n, arrayMap(i -> i / 4., range(number % 4)) AS lists,
		CAST(arrayMap(i -> concat('t', toString(i)), range(number % 3)), 'Array(LowCardinality(String))') AS texts
		FROM numbers(100000) SETTINGS max_block_size = 30000, max_threads = 1`
	var next, blocks uint64
	require.NoError(t, db.Read(t.Context(), query, columns, func() error {
		blocks++
		for row, v := range n {
			if v != next || lists.RowLen(row) != int(v%4) || texts.RowLen(row) != int(v%3) {
				return errors.New("out of order")
			}
			if v%3 == 2 {
				require.Equal(t, []string{"t0", "t1"}, texts.Row(row))
			}
			next++
		}
		return nil
	}))
	require.EqualValues(t, 100_000, next)
	require.Greater(t, blocks, uint64(3))
	require.NoError(t, db.Read(t.Context(), "SELECT number AS n, [1.] AS lists, CAST([], 'Array(LowCardinality(String))') AS texts FROM numbers(0)", columns, func() error {
		return errors.New("there is no row")
	}))
	stop := errors.New("stop")
	require.ErrorIs(t, db.Read(t.Context(), query, columns, func() error { return stop }), stop)
}

func TestReadTellsErrors(t *testing.T) {
	t.Parallel()
	db := clickhousetest.Open(t)
	var n proto.ColUInt64
	columns := proto.Results{{Name: "n", Data: &n}}
	ignore := func() error { return nil }
	require.ErrorIs(t, db.Read(t.Context(), "SELECT n FROM nowhere", columns, ignore), fault.NotFound)
	// After a good status and many blocks.
	err := db.Read(t.Context(), "SELECT number + throwIf(number = 5000000, 'enough') AS n FROM numbers(10000000) SETTINGS max_threads = 1", columns, ignore)
	said, ok := errors.AsType[*clickhouse.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", said.Name)
	require.Error(t, db.Read(t.Context(), "SELECT 'a' AS n", columns, ignore), "another type")
}

// An answer that ends between two columns must not pass for a whole one.
func TestReadTellsABrokenAnswer(t *testing.T) {
	t.Parallel()
	engine, err := url.Parse(clickhousetest.URL(t))
	require.NoError(t, err)
	engine.Path = ""
	proxy := httputil.NewSingleHostReverseProxy(engine)
	length := 0
	proxy.ModifyResponse = func(resp *http.Response) error {
		whole, err := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(strings.NewReader(string(whole[:min(len(whole), length)])))
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
		return err
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	u, err := url.Parse(clickhousetest.URL(t))
	require.NoError(t, err)
	u.Host, u.Path = strings.TrimPrefix(server.URL, "http://"), "/default"
	db, err := clickhouse.Open(t.Context(), clickhouse.Config{URL: u.String()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	var a, b proto.ColUInt64
	for length = 1; ; length++ {
		rows := 0
		err := db.Read(t.Context(), "SELECT number AS a, number AS b FROM numbers(3)", proto.Results{{Name: "a", Data: &a}, {Name: "b", Data: &b}}, func() error {
			rows += a.Rows()
			return nil
		})
		if err == nil {
			require.Equal(t, 3, rows, "cut at %d", length)
			return
		}
		require.ErrorIs(t, err, fault.Unavailable, "cut at %d", length)
	}
}
