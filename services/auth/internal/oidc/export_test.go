package oidc

import (
	"context"
	"net"
	"net/http"
)

// Reach has what the provider is asked under any name other than an address go where
// another transport goes.
func (p *Provider) Reach(by *http.Transport) {
	t := p.client.Transport.(*careful) //nolint:forcetypeassert // it is
	dial := t.DialContext
	t.TLSClientConfig = by.TLSClientConfig
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, _, _ := net.SplitHostPort(addr); net.ParseIP(host) == nil {
			return by.DialContext(ctx, network, addr)
		}
		return dial(ctx, network, addr)
	}
}
