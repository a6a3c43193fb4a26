package process

import (
	"maps"
	"slices"

	"github.com/driftmesh/driftmesh/internal/tlsfiles"
)

// Role is what a certificate is to this process.
type Role int

// The roles.
const (
	Own       Role = iota + 1 // it is shown
	Authority                 // what it has issued is believed
	Peer                      // another service has shown it
)

// Certificate is one that the process knows.
type Certificate struct {
	tlsfiles.Certificate
	Role    Role
	Service string // whose: of this process, or the peer
	Setting string // that names it, such as mesh.tls; "" for a peer's
}

func (h *home) adminTLS(s *tlsfiles.Source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.admin = s
}

// Certificates are those of the admin address and of the services in this process
// among one another, the authorities that these believe, and what their peers have
// shown.
func (e Env) Certificates() []Certificate {
	if e.home == nil { // made by hand, in a test
		return nil
	}
	e.home.mu.Lock()
	admin, mutual := e.home.admin, maps.Clone(e.home.mutual)
	e.home.mu.Unlock()
	var list []Certificate
	if admin != nil {
		list = append(list, CertificateOf(admin, "process", "admin.tls"))
	}
	authorities, peers := map[string]bool{}, map[string]tlsfiles.Certificate{}
	for _, service := range slices.Sorted(maps.Keys(mutual)) {
		m := mutual[service]
		list = append(list, CertificateOf(m.Source, service, "mesh.tls"))
		for _, c := range m.Authorities() {
			if key := c.Issuer + c.Serial; !authorities[key] {
				authorities[key] = true
				list = append(list, Certificate{Certificate: c, Role: Authority, Service: service, Setting: "mesh.tls"})
			}
		}
		maps.Copy(peers, m.Peers())
	}
	for _, service := range slices.Sorted(maps.Keys(peers)) {
		list = append(list, Certificate{Certificate: peers[service], Role: Peer, Service: service})
	}
	return list
}

// CertificateOf is what a source shows.
func CertificateOf(s *tlsfiles.Source, service, setting string) Certificate {
	return Certificate{Certificate: s.Own(), Role: Own, Service: service, Setting: setting}
}
