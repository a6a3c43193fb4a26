// Package tlsfiles speaks TLS with a certificate and a key from files, and takes
// new ones up when the files change: a certificate is renewed without a restart.
//
// Source is the certificate of a listener whose clients prove who they are by
// other means. Mutual is that of a service that calls other services and is called
// by them: each side shows a certificate of an authority that both believe, and is
// known by the SPIFFE ID in it.
package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// Files are the settings of a listener's TLS; the zero value is none.
type Files struct {
	Cert string `help:"PEM file of the certificate, with those that it was issued by behind it; read anew when it changes. Empty for no TLS." placeholder:"FILE"`
	Key  string `help:"PEM file of the certificate's private key." placeholder:"FILE"`

	MinVersion string `help:"Oldest version of TLS that is spoken: 1.2 or 1.3." enum:"1.2,1.3" default:"1.2"`
}

// On reports whether TLS is asked for.
func (f Files) On() bool { return f.Cert != "" || f.Key != "" }

// Check reports the setting that is missing; prefix is what comes before its
// name.
func (f Files) Check(prefix string) error {
	switch {
	case f.Cert == "" && f.Key != "":
		return errors.New(prefix + "cert: must be given with " + prefix + "key")
	case f.Key == "" && f.Cert != "":
		return errors.New(prefix + "key: must be given with " + prefix + "cert")
	}
	return nil
}

// Source is a certificate in files. It is safe for concurrent use.
type Source struct {
	files Files
	ca    string // file of what is believed of others; "" for none
	log   *slog.Logger
	now   func() time.Time

	pair    atomic.Pointer[pair]
	mu      sync.Mutex // of who reads the files anew
	seen    stamp      // what was read last, whatever came of it
	broken  atomic.Bool
	refused refusals
}

// pair is what handshakes use.
type pair struct {
	tls.Certificate
	authorities []*x509.Certificate // nil without a file of them
	roots       *x509.CertPool      // the same
	warned      atomic.Bool         // that it is not valid now
}

// stamp tells one state of the files from another.
type stamp struct{ cert, key, ca fs.FileInfo }

func (s stamp) same(o stamp) bool {
	same := func(a, b fs.FileInfo) bool {
		return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
	}
	return same(s.cert, o.cert) && same(s.key, o.key) && (s.ca == nil && o.ca == nil || same(s.ca, o.ca))
}

// Open reads the files. Errors name the file and what is wrong with it. A
// certificate that has expired is served all the same, with a warning: it may
// be renewed at any time.
func Open(files Files, log *slog.Logger) (*Source, error) { return open(files, "", log) }

func open(files Files, ca string, log *slog.Logger) (*Source, error) {
	s := &Source{files: files, ca: ca, log: log, now: time.Now, refused: newRefusals()}
	seen, err := s.stat()
	if err != nil {
		return nil, err
	}
	read, err := s.read()
	if err != nil {
		return nil, err
	}
	s.seen = seen
	s.pair.Store(read)
	s.warn(read)
	return s, nil
}

// Server is the configuration of a listener.
func (s *Source) Server() *tls.Config {
	return &tls.Config{
		MinVersion: s.files.minVersion(), NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &s.current().Certificate, nil },
	}
}

func (f Files) minVersion() uint16 {
	if f.MinVersion == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// current is asked for at every handshake, and looks each time whether the files
// have changed: that costs little beside the handshake. What cannot be read, or
// does not fit together, as in the midst of being replaced, is not taken up, and is
// looked at again when the files change again.
func (s *Source) current() *pair {
	if s.mu.TryLock() { // others go on with what there is
		defer s.mu.Unlock()
		s.refresh()
	}
	current := s.pair.Load()
	s.warn(current)
	return current
}

func (s *Source) refresh() {
	seen, err := s.stat()
	if err == nil && seen.same(s.seen) {
		return
	}
	if err != nil {
		if s.seen != (stamp{}) {
			s.log.Warn("the certificate that was there is kept", telemetry.Err(err))
		}
		s.seen = stamp{}
		s.broken.Store(true)
		return
	}
	s.seen = seen
	read, err := s.read()
	s.broken.Store(err != nil)
	if err != nil {
		s.log.Warn("the certificate that was there is kept", telemetry.Err(err))
		return
	}
	s.pair.Store(read)
	s.log.Info("a new certificate is in use", slog.String(telemetry.KeyFile, s.files.Cert),
		slog.Time(telemetry.KeyExpires, read.Leaf.NotAfter))
}

func (s *Source) stat() (stamp, error) {
	cert, err := os.Stat(s.files.Cert)
	if err != nil {
		return stamp{}, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.Stat(s.files.Key)
	if err != nil {
		return stamp{}, fmt.Errorf("key: %w", err)
	}
	if s.ca == "" {
		return stamp{cert: cert, key: key}, nil
	}
	ca, err := os.Stat(s.ca)
	if err != nil {
		return stamp{}, fmt.Errorf("authorities: %w", err)
	}
	return stamp{cert, key, ca}, nil
}

// read reads all files.
func (s *Source) read() (*pair, error) {
	read, err := s.files.read()
	if err == nil && s.ca != "" {
		read.authorities, err = readAuthorities(s.ca)
		read.roots = pool(read.authorities)
	}
	return read, err
}

// warn says once of each certificate that clients will not take it.
func (s *Source) warn(p *pair) {
	now := s.now()
	var why string
	switch {
	case now.After(p.Leaf.NotAfter):
		why = "it expired on " + p.Leaf.NotAfter.UTC().Format(time.RFC3339)
	case now.Before(p.Leaf.NotBefore):
		why = "it is not valid before " + p.Leaf.NotBefore.UTC().Format(time.RFC3339)
	default:
		return
	}
	if p.warned.CompareAndSwap(false, true) {
		s.log.Warn("clients will refuse the certificate", slog.String(telemetry.KeyFile, s.files.Cert),
			slog.String(telemetry.KeyErr, why))
	}
}

// read reads both files and holds them against each other.
func (f Files) read() (*pair, error) {
	certs, err := readChain(f.Cert)
	if err != nil {
		return nil, err
	}
	var rawCert bytes.Buffer
	for _, c := range certs {
		if err := pem.Encode(&rawCert, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", f.Cert, err)
		}
	}
	rawKey, err := os.ReadFile(f.Key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if block, _ := pem.Decode(rawKey); block == nil {
		return nil, fmt.Errorf("key %s: is not a PEM file", f.Key)
	}
	made, err := tls.X509KeyPair(rawCert.Bytes(), rawKey)
	if err != nil {
		return nil, fmt.Errorf("key %s, of the certificate %s in %s: %w", f.Key, name(certs[0]), f.Cert, err)
	}
	made.Leaf = certs[0]
	return &pair{Certificate: made}, nil
}

// readChain reads the certificates of a file, of which each must have been
// issued by the one behind it: a client that knows only the root cannot find its
// way otherwise.
func readChain(path string) ([]*x509.Certificate, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue // a key in the same file is usual
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: number %d of the file: %w", path, len(chain)+1, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("certificate %s: has no PEM block CERTIFICATE", path)
	}
	for i := range len(chain) - 1 {
		c, issuer := chain[i], chain[i+1]
		if !bytes.Equal(c.RawIssuer, issuer.RawSubject) {
			return nil, fmt.Errorf("certificate %s: number %d of the file, %s, was issued by %q, and number %d is %s",
				path, i+1, name(c), c.Issuer.String(), i+2, name(issuer))
		}
		if err := c.CheckSignatureFrom(issuer); err != nil {
			return nil, fmt.Errorf("certificate %s: number %d of the file, %s, was not signed by number %d, %s: %w",
				path, i+1, name(c), i+2, name(issuer), err)
		}
	}
	return chain, nil
}

func name(c *x509.Certificate) string { return fmt.Sprintf("%q", c.Subject.String()) }
