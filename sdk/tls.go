package sdk

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// tlsFiles are PEM files to speak TLS with.
type tlsFiles struct{ ca, cert, key string }

// WithCA speaks TLS and believes the authorities of a PEM file instead of the
// system's.
func WithCA(file string) Option {
	return func(c *config) { c.ofFiles().ca = file }
}

// WithCertificate speaks TLS and shows a certificate, which a proxy in front of
// the mesh may ask for. Both files are PEM.
func WithCertificate(cert, key string) Option {
	return func(c *config) { f := c.ofFiles(); f.cert, f.key = cert, key }
}

func (c *config) ofFiles() *tlsFiles {
	if c.files == nil {
		c.files = &tlsFiles{}
	}
	return c.files
}

// ParseTarget takes the scheme off an address that begins with grpc://, grpcs://,
// http:// or https://, and tells whether it asks for TLS. Other addresses stay as
// they are: gRPC knows what they mean.
func ParseTarget(addr string) (target string, secure bool) {
	for scheme, tls := range map[string]bool{"grpc://": false, "http://": false, "grpcs://": true, "https://": true} {
		if rest, is := strings.CutPrefix(addr, scheme); is {
			return strings.TrimSuffix(rest, "/"), tls
		}
	}
	return addr, false
}

// reach is how to reach addr with these options.
func (c *config) reach(addr string) (string, credentials.TransportCredentials, error) {
	target, secure := ParseTarget(addr)
	switch {
	case c.transport != nil:
		return target, c.transport, nil
	case c.files != nil:
		var err error
		c.tls, err = c.files.config()
		return target, credentials.NewTLS(c.tls), err
	case secure:
		return target, credentials.NewTLS(nil), nil
	}
	return target, insecure.NewCredentials(), nil
}

func (f *tlsFiles) config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		raw, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("%s has no certificate", f.ca)
		}
	}
	if f.cert != "" || f.key != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
