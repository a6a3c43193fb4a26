package tlsfiles

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Certificate is what can be told of a certificate. Its key is not among that.
type Certificate struct {
	Subject, Issuer, Serial string
	Names                   []string // hosts, addresses and URIs that it is for
	NotBefore, NotAfter     time.Time
	File                    string // that it was read from; "" for another's
	Problem                 string // why the file as it is now is not used; "" when it is
}

func tell(c *x509.Certificate, file, problem string) Certificate {
	return Certificate{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), Serial: c.SerialNumber.Text(16), Names: nameList(c),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, File: file, Problem: problem,
	}
}

// Own is the certificate that is shown now.
func (s *Source) Own() Certificate { return tell(s.current().Leaf, s.files.Cert, s.problem()) }

// Authorities are those that are believed now, none without a file of them.
func (s *Source) Authorities() []Certificate {
	now := s.current()
	list := make([]Certificate, len(now.authorities))
	for i, c := range now.authorities {
		list[i] = tell(c, s.ca, s.problem())
	}
	return list
}

func (s *Source) problem() string {
	if s.broken.Load() {
		return "the files as they are now cannot be used, and what was there is kept: the log says why"
	}
	return ""
}

// Peers are the certificates that other services have shown last, by service. Their
// handshakes were good.
func (m *Mutual) Peers() map[string]Certificate {
	all := map[string]Certificate{}
	m.peers.Range(func(service, c any) bool {
		all[service.(string)] = tell(c.(*x509.Certificate), "", "") //nolint:forcetypeassert // see met
		return true
	})
	return all
}

// met notes whose certificate has been shown. The authority issues them for few
// services, so that few are kept.
func (m *Mutual) met(service string, c *x509.Certificate) {
	if known, ok := m.peers.Load(service); !ok || known != any(c) {
		m.peers.Store(service, c)
	}
}

// readRoots reads a file of authorities.
func readRoots(path string) (*x509.CertPool, error) {
	list, err := readAuthorities(path)
	return pool(list), err
}

func pool(list []*x509.Certificate) *x509.CertPool {
	roots := x509.NewCertPool()
	for _, c := range list {
		roots.AddCert(c)
	}
	return roots
}

// readAuthorities reads what of a file of authorities can be read.
func readAuthorities(path string) ([]*x509.Certificate, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	var list []*x509.Certificate
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" || len(block.Headers) != 0 {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("authorities %s: has no PEM block CERTIFICATE that can be read", path)
	}
	return list, nil
}

// nameList are the names that a certificate is for.
func nameList(c *x509.Certificate) []string {
	list := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	for _, u := range c.URIs {
		list = append(list, u.String())
	}
	return list
}

// names are the same in a sentence.
func names(c *x509.Certificate) string { return strings.Join(nameList(c), ", ") }
