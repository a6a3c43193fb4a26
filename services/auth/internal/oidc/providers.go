package oidc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Providers are those that the settings name. They are safe for concurrent use.
type Providers struct{ all []*Provider }

// New makes providers ready. It asks none of them anything.
func New(configs Configs) (*Providers, error) {
	p := &Providers{}
	for _, name := range configs.Names() {
		one, err := newProvider(name, configs[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		p.all = append(p.all, one)
	}
	for _, one := range p.all {
		one.others = slices.ContainsFunc(p.all, func(other *Provider) bool { return other != one && other.ClientID != "" })
	}
	return p, nil
}

// Close lets go of connections.
func (p *Providers) Close() {
	for _, one := range p.all {
		one.client.CloseIdleConnections()
	}
}

// All are sorted by name.
func (p *Providers) All() []*Provider { return p.all }

// Find gives a provider by name, the only one at which users log in for an empty
// name. It gives fault.NotFound, and fault.Precondition for one at which nobody
// logs in.
func (p *Providers) Find(name string) (*Provider, error) {
	var logins []*Provider
	for _, one := range p.all {
		if one.ClientID != "" {
			logins = append(logins, one)
		}
		if one.Name == name && one.ClientID == "" {
			return nil, fault.Precondition.New("users do not log in at the provider %s", name).WithReason("PROVIDER_NO_LOGIN")
		}
	}
	if name == "" && len(logins) == 1 {
		return logins[0], nil
	}
	if i := slices.IndexFunc(logins, func(one *Provider) bool { return one.Name == name }); i >= 0 {
		return logins[i], nil
	}
	names := make([]string, len(logins))
	for i, one := range logins {
		names[i] = one.Name
	}
	switch {
	case len(logins) == 0:
		return nil, fault.NotFound.New("users do not log in at any OpenID provider here").WithReason("PROVIDER_UNKNOWN")
	case name == "":
		return nil, fault.Invalid.New("name one of the providers: %s", strings.Join(names, ", ")).WithReason("PROVIDER_UNKNOWN")
	}
	return nil, fault.NotFound.New("there is no provider %.40q; there are: %s", name, strings.Join(names, ", ")).WithReason("PROVIDER_UNKNOWN")
}

// Issuer gives the provider whose tokens are exchanged that a token, which is not
// verified, says that it is from. It gives fault.Unauthenticated when there is none.
func (p *Providers) Issuer(token string) (*Provider, error) {
	issuer, err := issuerOf(token)
	if err != nil {
		return nil, err
	}
	for _, one := range p.all {
		if one.Issuer == issuer && len(one.Audiences) > 0 {
			return one, nil
		}
	}
	return nil, refuse(nil, "TOKEN_ISSUER_INVALID", "the token was issued by nobody whose tokens are exchanged here")
}

// Loopback reports whether a URL is one at which a program on the user's own machine
// listens (RFC 8252, 7.3).
func Loopback(redirect string) bool {
	u, err := parseRedirect(redirect)
	return err == nil && u.Scheme == "http" && u.Port() != "" && u.Hostname() != "localhost" && loopback(u.Hostname())
}
