package otlpdoor_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
)

// TestThousandsOfIdleConnections opens connections that say hello in HTTP/2
// and then nothing, and HTTP/1 connections that say nothing at all. Others are
// served meanwhile, and an idle one costs little.
func TestThousandsOfIdleConnections(t *testing.T) {
	const connections = 2000
	b := start(t, otlpdoor.Config{})
	_, err := b.client.Export(t.Context(), sample(4))
	require.NoError(t, err)
	before := inUse()
	idle := make([]net.Conn, 0, 2*connections)
	defer func() {
		for _, c := range idle {
			_ = c.Close()
		}
	}()
	dial := func(addr string) net.Conn {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		idle = append(idle, c)
		return c
	}
	for range connections {
		c := dial(b.grpcAddr)
		_, err := io.WriteString(c, http2.ClientPreface)
		require.NoError(t, err)
		frames := http2.NewFramer(c, c)
		require.NoError(t, frames.WriteSettings())
		_, err = frames.ReadFrame() // the server's settings: it has made all it needs
		require.NoError(t, err)
		dial(b.url[len("http://"):])
	}
	each := (inUse() - before) / (2 * connections)
	t.Logf("%d KiB a connection", each>>10)
	require.Less(t, each, uint64(48<<10))

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = b.client.Export(ctx, sample(100))
	require.NoError(t, err)
	resp, body := b.post(t, typeProto, encode(t, sample(100)))
	require.Equal(t, 200, resp.StatusCode, fmt.Sprint(string(body)))
}

// inUse is what heap and stacks take now, of both ends of the connections.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// TestIdleConnectionsAreClosed: a connection without calls does not live for
// ever.
func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	b := start(t, otlpdoor.Config{MaxIdle: 100 * time.Millisecond})
	c, err := net.Dial("tcp", b.grpcAddr)
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, http2.ClientPreface)
	require.NoError(t, err)
	frames := http2.NewFramer(c, c)
	require.NoError(t, frames.WriteSettings())
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	for {
		f, err := frames.ReadFrame()
		if err != nil || f.Header().Type == http2.FrameGoAway {
			require.ErrorIs(t, errOr(err, io.EOF), io.EOF)
			return
		}
	}
}

func errOr(err, otherwise error) error {
	if err == nil {
		return otherwise
	}
	return err
}
