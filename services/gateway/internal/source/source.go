// Package source tells where a call comes from: the address of whoever called,
// past the proxies in front of the gateway that are trusted to say so.
package source

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Proxies are the networks of proxies whose word is taken.
type Proxies []netip.Prefix

// Parse reads networks, such as 10.0.0.0/8, and addresses.
func Parse(texts []string) (Proxies, error) {
	var all Proxies
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return nil, fmt.Errorf("%q is neither a network nor an address", text)
			}
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		all = append(all, network)
	}
	return all, nil
}

// insideNetwork is that of the pipe between the gateway's HTTP side and its gRPC
// server, which has nobody else at its other end.
const insideNetwork = "bufconn"

// maxHops bounds how many proxies are looked behind.
const maxHops = 16

// Of gives the address that an incoming gRPC call comes from, "" when that is not
// known. A call that the HTTP side passed on carries the address in
// x-forwarded-for, at the end, where that side put it.
func (p Proxies) Of(ctx context.Context) string {
	last := ""
	if from, ok := peer.FromContext(ctx); ok && from.Addr.Network() != insideNetwork {
		last = from.Addr.String()
	}
	return p.behind(metadata.ValueFromIncomingContext(ctx, "x-forwarded-for"), last)
}

// OfRequest gives the address that an HTTP request comes from, "" when that is not
// known.
func (p Proxies) OfRequest(r *http.Request) string {
	return p.behind(r.Header.Values("X-Forwarded-For"), r.RemoteAddr)
}

// behind looks behind trusted proxies, from the other end of the connection, if that
// is somebody's, on.
func (p Proxies) behind(chain []string, end string) string {
	hops := strings.Split(strings.Join(chain, ","), ",")
	if end != "" {
		at, err := netip.ParseAddrPort(end)
		if err != nil {
			return ""
		}
		hops = append(hops, at.Addr().String())
	}
	last := ""
	for i := len(hops) - 1; i >= max(0, len(hops)-maxHops); i-- {
		addr, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return last
		}
		last = addr.Unmap().String()
		if !p.trusts(addr.Unmap()) {
			return last
		}
	}
	return last
}

func (p Proxies) trusts(addr netip.Addr) bool {
	for _, network := range p {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}
