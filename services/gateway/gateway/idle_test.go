package gateway_test

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// settled is the memory in use, with garbage collected.
func settled() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func TestIdleConnectionsAreCheap(t *testing.T) { //nolint:paralleltest // it measures the process
	w := start(t)
	const each = 500 // of four listeners: two thousand in all
	before := settled()
	var conns []net.Conn
	for _, addr := range []string{w.grpc, w.otlpGRPC, strings.TrimPrefix(w.http, "http://"), strings.TrimPrefix(w.otlpHTTP, "http://")} {
		for range each {
			conn, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			defer conn.Close()
			conns = append(conns, conn)
		}
	}
	for _, conn := range conns[:2*each] { // greet as a gRPC client does, and fall silent
		_, err := io.WriteString(conn, http2.ClientPreface)
		require.NoError(t, err)
		require.NoError(t, http2.NewFramer(conn, conn).WriteSettings())
	}
	for _, conn := range conns[:2*each] {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
		_, err := http2.NewFramer(nil, conn).ReadFrame()
		require.NoError(t, err)
	}
	perConn := int64(settled()-before) / int64(len(conns))
	t.Logf("%d bytes a connection", perConn)
	require.Less(t, perConn, int64(64<<10))
	_, err := w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{wine("a", float("alcohol", 1))}})
	require.NoError(t, err)
}
