package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Plan says which certificates a mesh needs.
type Plan struct {
	Domain    string
	Services  []string
	DNS       []string // hosts that every certificate names, beside its service
	IPs       []net.IP
	Life      time.Duration // of a certificate
	CALife    time.Duration
	ReplaceCA bool // make an authority even where there is one, and every certificate anew

	// Spread is called when there is a new authority in the place of another and
	// nothing of it is in use yet: it returns when everybody has read the file of
	// authorities anew. An error ends Make, and Renew goes on from there. Nil does
	// not wait.
	Spread func() error
}

// Made is a certificate that is there, and whether it was made just now.
type Made struct {
	File  string
	Cert  *x509.Certificate
	Fresh bool
}

// Make makes what is missing of the plan and touches nothing else: called again
// it changes nothing.
func (d *Dir) Make(p Plan) ([]Made, error) {
	if err := checkNames(p.Domain, p.Services); err != nil {
		return nil, err
	}
	fresh, replaced := p.ReplaceCA, p.ReplaceCA
	switch err := d.Open(); {
	case errors.Is(err, fs.ErrNotExist):
		fresh, replaced = true, false
	case err != nil:
		return nil, err
	}
	if fresh {
		if err := d.MakeCA(p.Domain, p.CALife); err != nil {
			return nil, err
		}
	}
	made := []Made{{d.CA(), d.cert, fresh}}
	if replaced && p.Spread != nil {
		if err := p.Spread(); err != nil {
			return made, err
		}
	}
	for _, service := range p.Services {
		file := d.file(service + ".pem")
		certs, err := readCerts(file)
		switch {
		case err == nil && !p.ReplaceCA:
			made = append(made, Made{file, certs[0], false})
			continue
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return made, err
		}
		cert, err := d.Issue(Names{Service: service, Domain: p.Domain, DNS: withFirst(service, p.DNS), IPs: p.IPs}, p.Life)
		if err != nil {
			return made, err
		}
		made = append(made, Made{file, cert, true})
	}
	return made, nil
}

// withFirst is the list with name in front, once.
func withFirst(name string, list []string) []string {
	return append([]string{name}, slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })...)
}

func checkNames(domain string, services []string) error {
	if !label(strings.ReplaceAll(domain, ".", "-")) {
		return fmt.Errorf("trust domain %q: want letters a-z, digits, - and .", domain)
	}
	for _, s := range services {
		if !label(s) || s == "ca" {
			return fmt.Errorf("service %q: want letters a-z, digits and -, and not ca", s)
		}
	}
	return nil
}

// label reports whether s can be a file, a host and a part of a URI.
func label(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// Renew issues the certificates anew that expire within before, with the names
// and the life they have; 0 is a third of that life. It returns all of the
// directory.
func (d *Dir) Renew(before time.Duration) ([]Made, error) {
	if err := d.Open(); err != nil {
		return nil, err
	}
	found, err := d.List()
	if err != nil {
		return nil, err
	}
	for i, m := range found {
		life := m.Cert.NotAfter.Sub(m.Cert.NotBefore) - skew
		within := before
		if within == 0 {
			within = life / 3
		}
		if m.Cert.IsCA || d.now().Add(within).Before(m.Cert.NotAfter) && d.issued(m.Cert) {
			continue
		}
		names, err := namesOf(m.Cert)
		if err != nil {
			return found, fmt.Errorf("%s: %w", m.File, err)
		}
		if found[i].Cert, err = d.Issue(names, life); err != nil {
			return found, err
		}
		found[i].Fresh = true
	}
	return found, nil
}

// issued reports whether the authority, as it is, has signed a certificate.
func (d *Dir) issued(c *x509.Certificate) bool { return c.CheckSignatureFrom(d.cert) == nil }

// List reads the certificates of the directory, the authority's first.
func (d *Dir) List() ([]Made, error) {
	files, err := filepath.Glob(d.file("*.pem"))
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	slices.SortFunc(files, func(a, b string) int {
		if d.CA() == a {
			return -1
		}
		if d.CA() == b {
			return 1
		}
		return strings.Compare(a, b)
	})
	var found []Made
	for _, file := range files {
		certs, err := readCerts(file)
		if err != nil {
			return nil, err
		}
		for i, c := range certs {
			if i == 0 || c.IsCA {
				found = append(found, Made{File: file, Cert: c})
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: has no certificate: %w", d.path, os.ErrNotExist)
	}
	return found, nil
}

// namesOf reads back what Issue wrote.
func namesOf(c *x509.Certificate) (Names, error) {
	for _, u := range c.URIs {
		if service := strings.TrimPrefix(u.Path, "/"); u.Scheme == "spiffe" && label(service) {
			return Names{Service: service, Domain: u.Host, DNS: c.DNSNames, IPs: c.IPAddresses}, nil
		}
	}
	return Names{}, errors.New("the certificate names no service (spiffe://…): it was made by somebody else, who has to renew it")
}
