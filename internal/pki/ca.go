package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Names of the authority's files.
const (
	caCert = "ca.pem"
	caKey  = "ca.key"
)

// skew is how much the clocks of others may be behind: so much earlier than they
// are made certificates begin.
const skew = 5 * time.Minute

// Dir is a directory of certificates, and the authority in it.
type Dir struct {
	path string
	now  func() time.Time
	cert *x509.Certificate // the first of ca.pem, which signs
	key  crypto.Signer
}

// NewDir is the directory at path, whose authority has to be made or opened.
func NewDir(path string, now func() time.Time) *Dir { return &Dir{path: path, now: now} }

// errNoCA is an authority that does not exist.
var errNoCA = errors.New("there is no authority (ca.pem, ca.key)")

// Open reads the authority. The error is fs.ErrNotExist when there is none.
func (d *Dir) Open() error {
	certs, certErr := readCerts(d.CA())
	key, keyErr := readKey(d.file(caKey))
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: %w", d.path, errNoCA, fs.ErrNotExist)
	}
	// One file without the other is half an authority: nothing is to be made in
	// its place.
	if err := errors.Join(certErr, keyErr); err != nil {
		return fmt.Errorf("authority: %s", err) //nolint:errorlint // it must not pass for one that does not exist
	}
	if !certs[0].IsCA {
		return fmt.Errorf("%s: %q is not an authority", d.CA(), certs[0].Subject)
	}
	if !samePublic(key.Public(), certs[0].PublicKey) {
		return fmt.Errorf("%s is not the key of %s", d.file(caKey), d.CA())
	}
	d.cert, d.key = certs[0], key
	return nil
}

// MakeCA makes an authority that lives so long. Where there is one it takes that
// one's place, which stays in ca.pem behind it: certificates of either are
// believed until the old ones have been issued anew.
func (d *Dir) MakeCA(domain string, life time.Duration) error {
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	old, err := readCerts(d.CA())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	now := d.now()
	template := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"driftmesh"}, CommonName: "driftmesh CA " + domain + " " + now.UTC().Format("2006-01-02T15:04:05Z")},
		NotBefore: now.Add(-skew), NotAfter: now.Add(life),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return err
	}
	chain := append([]*x509.Certificate{cert}, slices.DeleteFunc(old, func(c *x509.Certificate) bool { return now.After(c.NotAfter) })...)
	if err := d.write(caKey, caCert, key, chain); err != nil {
		return err
	}
	d.cert, d.key = cert, key
	return nil
}

// CA is the file that holds what is to be trusted.
func (d *Dir) CA() string { return d.file(caCert) }

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// Names are what a certificate says of its holder.
type Names struct {
	Service string
	Domain  string // the trust domain
	DNS     []string
	IPs     []net.IP
}

// ID is the SPIFFE ID of a service.
func ID(domain, service string) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: domain, Path: "/" + service}
}

// Issue makes a certificate with a key of its own, in place of what is there.
// The authority has to be open.
func (d *Dir) Issue(n Names, life time.Duration) (*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	now := d.now()
	ends := now.Add(life)
	if ends.After(d.cert.NotAfter) {
		ends = d.cert.NotAfter
	}
	cert, err := sign(&x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"driftmesh"}, CommonName: n.Service},
		NotBefore: now.Add(-skew), NotAfter: ends,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{ID(n.Domain, n.Service)}, DNSNames: n.DNS, IPAddresses: n.IPs,
	}, d.cert, key.Public(), d.key)
	if err != nil {
		return nil, err
	}
	return cert, d.write(n.Service+".key", n.Service+".pem", key, []*x509.Certificate{cert})
}

func sign(template, by *x509.Certificate, public any, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, by, public, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func samePublic(a, b crypto.PublicKey) bool {
	rawA, errA := x509.MarshalPKIXPublicKey(a)
	rawB, errB := x509.MarshalPKIXPublicKey(b)
	return errA == nil && errB == nil && bytes.Equal(rawA, rawB)
}
