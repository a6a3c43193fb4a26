// Package origin keeps web pages from speaking for the person who looks at
// them. A mesh on loopback lets callers in without credentials, and any page in
// a browser of the same machine can send requests there.
//
// Three checks, all on headers that a page cannot forge:
//
//   - Host: a page whose own name is made to resolve to this machine (DNS
//     rebinding) is of one origin with it, for the browser; but it names its own
//     host. IP addresses are let through: nobody rebinds them.
//   - Sec-Fetch-Site and Origin: a request that changes something and comes from
//     a page of another origin (http.CrossOriginProtection).
//   - Content-Type, by the handlers: what they read can be sent across origins
//     only after asking, and the answer is no unless a setting names the origin.
package origin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Any is the host or origin that stands for all.
const Any = "*"

// Config says who may be spoken to, and by whom.
type Config struct {
	CheckHost bool     // whether names other than Hosts and localhost are refused
	Hosts     []string // further names, without a port
	Origins   []string // of web pages that may send requests that change something
}

// Policy checks requests. It is safe for concurrent use.
type Policy struct {
	checkHost, checkOrigin bool
	hosts                  []string
	pages                  *http.CrossOriginProtection
}

// New makes a policy. It fails for an origin that is none: scheme://host[:port].
func New(cfg Config) (*Policy, error) {
	p := &Policy{
		checkHost: cfg.CheckHost && !slices.Contains(cfg.Hosts, Any), checkOrigin: !slices.Contains(cfg.Origins, Any),
		pages: http.NewCrossOriginProtection(),
	}
	for _, h := range cfg.Hosts {
		p.hosts = append(p.hosts, strings.ToLower(h))
	}
	for _, o := range cfg.Origins {
		if o == Any {
			continue
		}
		if err := p.pages.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("origin %q: %w", o, err)
		}
	}
	return p, nil
}

// Check gives fault.Denied for a request that a web page makes in somebody
// else's name. A nil policy lets all through.
func (p *Policy) Check(r *http.Request) error {
	if p == nil {
		return nil
	}
	if p.checkHost && !p.known(r.Host) {
		return fault.Denied.New("this gateway is not called %.100q: use its IP address or localhost, or add the name to the setting gateway.hosts", r.Host).
			WithReason("HOST_UNKNOWN")
	}
	if p.checkOrigin && p.pages.Check(r) != nil {
		return fault.Denied.New("a web page of another origin may not do this").WithReason("CROSS_ORIGIN")
	}
	return nil
}

func (p *Policy) known(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(p.hosts, host)
}
