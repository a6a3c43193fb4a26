package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"time"
)

// Authority issues certificates for tests.
type Authority struct {
	t    T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes a root of this name.
func NewAuthority(t T, name string) *Authority {
	t.Helper()
	return issue(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign})
}

// Intermediate makes an authority that this one has signed.
func (a *Authority) Intermediate(name string) *Authority {
	a.t.Helper()
	return issue(a.t, a, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign})
}

// Leaf is a certificate of a server or client with its key.
type Leaf struct {
	// Cert is the certificate in PEM, with those behind it that were given.
	Cert []byte
	// Key is the private key in PEM.
	Key []byte
	// Serial tells this one from others.
	Serial *big.Int
}

// Issue makes a certificate for localhost, 127.0.0.1 and these names, which
// expires then; behind it stand the certificates of chain.
func (a *Authority) Issue(expires time.Time, chain []*Authority, names ...string) *Leaf {
	a.t.Helper()
	made := issue(a.t, a, &x509.Certificate{
		Subject: pkix.Name{CommonName: "driftmesh"}, NotBefore: expires.Add(-48 * time.Hour), NotAfter: expires,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: append([]string{"localhost"}, names...),
	})
	leaf := &Leaf{Cert: made.PEM(), Serial: made.cert.SerialNumber}
	for _, issuer := range chain {
		leaf.Cert = append(leaf.Cert, issuer.PEM()...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(made.key)
	if err != nil {
		a.t.Fatalf("encode the key: %v", err)
	}
	leaf.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return leaf
}

// Write puts both into files, as a whole each: by way of another name.
func (l *Leaf) Write(t T, certFile, keyFile string) {
	t.Helper()
	for path, raw := range map[string][]byte{certFile: l.Cert, keyFile: l.Key} {
		if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
			t.Fatalf("write %s: %v", path, err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatalf("write %s: %v", path, err)
		}
	}
}

// PEM is the certificate of the authority.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Pool is a pool that holds the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue has by sign template, or template itself when by is nil.
func issue(t T, by *Authority, template *x509.Certificate) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make a key: %v", err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatalf("make a serial number: %v", err)
	}
	template.BasicConstraintsValid = true
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-30*24*time.Hour), time.Now().Add(30*24*time.Hour)
	}
	made := &Authority{t: t, key: key}
	if by == nil {
		by = &Authority{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatalf("make a certificate: %v", err)
	}
	if made.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatalf("parse the certificate: %v", err)
	}
	return made
}
