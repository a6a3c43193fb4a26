package source_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/test/bufconn"

	"github.com/driftmesh/driftmesh/services/gateway/internal/source"
)

func TestWhereACallComesFrom(t *testing.T) {
	t.Parallel()
	trusted, err := source.Parse([]string{"10.0.0.0/8", "2001:db8::1"})
	require.NoError(t, err)
	inside := bufconn.Listen(1).Addr()
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1234} }
	for name, row := range map[string]struct {
		peer      net.Addr
		forwarded []string
		want      string
	}{
		"directly":                    {tcp("192.0.2.1"), nil, "192.0.2.1"},
		"IPv4 in IPv6":                {tcp("::ffff:192.0.2.1"), nil, "192.0.2.1"},
		"a lie":                       {tcp("192.0.2.1"), []string{"198.51.100.1"}, "192.0.2.1"},
		"by a proxy":                  {tcp("10.1.2.3"), []string{"198.51.100.1"}, "198.51.100.1"},
		"a lie to the proxy":          {tcp("10.1.2.3"), []string{"203.0.113.1, 198.51.100.1"}, "198.51.100.1"},
		"by two proxies":              {tcp("10.1.2.3"), []string{"203.0.113.1, 198.51.100.1", "2001:db8::1"}, "198.51.100.1"},
		"a proxy itself":              {tcp("10.1.2.3"), nil, "10.1.2.3"},
		"a proxy that says nonsense":  {tcp("10.1.2.3"), []string{"x, y"}, "10.1.2.3"},
		"from the HTTP side":          {inside, []string{"192.0.2.1"}, "192.0.2.1"},
		"a lie to the HTTP side":      {inside, []string{"198.51.100.1, 192.0.2.1"}, "192.0.2.1"},
		"a proxy and the HTTP side":   {inside, []string{"198.51.100.1, 10.1.2.3"}, "198.51.100.1"},
		"from the HTTP side, nothing": {inside, nil, ""},
	} {
		ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: row.peer})
		md := metadata.MD{}
		md.Append("x-forwarded-for", row.forwarded...)
		require.Equal(t, row.want, trusted.Of(metadata.NewIncomingContext(ctx, md)), name)
	}
	_, err = source.Parse([]string{"proxy.example"})
	require.ErrorContains(t, err, "neither a network nor an address")
}

func FuzzForwarded(f *testing.F) {
	trusted, err := source.Parse([]string{"10.0.0.0/8"})
	require.NoError(f, err)
	f.Add("10.0.0.1, 192.0.2.1")
	f.Add(",,,")
	f.Fuzz(func(t *testing.T, forwarded string) {
		ctx := peer.NewContext(context.Background(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}})
		ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("x-forwarded-for", forwarded))
		require.Equal(t, "192.0.2.1", trusted.Of(ctx), "whoever is not trusted is not believed")
	})
}
