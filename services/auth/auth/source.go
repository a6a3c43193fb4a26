package auth

import (
	"context"
	"net/netip"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/driftmesh/driftmesh/internal/identity"
)

// sourceBits of an IPv6 address are one customer's, who has all addresses behind
// them (RFC 6177); of IPv4, all are.
const sourceBits = 64

// source is the network that a caller comes from: as the gateway says, if it is
// one that calls, else the other end of the connection.
func source(ctx context.Context) string {
	text := ""
	if id, ok := identity.From(ctx); ok && id.Kind == identity.Service {
		if values := metadata.ValueFromIncomingContext(ctx, identity.HeaderSource); len(values) == 1 {
			text = values[0]
		}
	} else if p, ok := peer.FromContext(ctx); ok {
		if at, err := netip.ParseAddrPort(p.Addr.String()); err == nil {
			text = at.Addr().String()
		}
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return "unknown"
	}
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		return addr.String()
	}
	network, err := addr.Prefix(sourceBits)
	if err != nil {
		return "unknown"
	}
	return network.String()
}
