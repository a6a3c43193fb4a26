package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// MutualFiles are the settings of a service's certificate; the zero value is none.
type MutualFiles struct {
	Files  `embed:""`
	CA     string `name:"ca" help:"PEM file of the authorities that other services' certificates must be issued by; read anew when it changes." placeholder:"FILE"`
	Domain string `help:"Trust domain: another service is known by the URI spiffe://DOMAIN/SERVICE in its certificate." default:"driftmesh"`
}

// On reports whether services prove themselves by certificates.
func (f MutualFiles) On() bool { return f.Files.On() || f.CA != "" }

// Check reports the setting that is missing.
func (f MutualFiles) Check(prefix string) error {
	err := f.Files.Check(prefix)
	if err == nil && f.On() && (f.CA == "" || f.Cert == "") {
		err = errors.New(prefix + "cert, " + prefix + "key and " + prefix + "ca: all three must be given, or none")
	}
	return err
}

// Of is the files with {service} in their names replaced.
func (f MutualFiles) Of(service string) MutualFiles {
	for _, path := range []*string{&f.Cert, &f.Key, &f.CA} {
		*path = strings.ReplaceAll(*path, "{service}", service)
	}
	return f
}

// Mutual is a service's certificate, with which it calls and is called. It is
// safe for concurrent use.
type Mutual struct {
	*Source
	domain string
	peers  sync.Map // service → *x509.Certificate: what each has shown last
}

// OpenMutual reads the files.
func OpenMutual(files MutualFiles, log *slog.Logger) (*Mutual, error) {
	source, err := open(files.Files, files.CA, log)
	if err != nil {
		return nil, err
	}
	return &Mutual{Source: source, domain: files.Domain}, nil
}

// Server are the credentials of a gRPC server whose clients must show a
// certificate of the authority. Which service that is of, Peer tells.
func (m *Mutual) Server() credentials.TransportCredentials {
	cfg := &tls.Config{MinVersion: m.files.minVersion(), NextProtos: []string{"h2"}}
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := m.current()
		return &tls.Config{
			MinVersion: cfg.MinVersion, NextProtos: cfg.NextProtos, Certificates: []tls.Certificate{now.Certificate},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: now.roots,
			SessionTicketsDisabled: true, // who comes again is looked at again
		}, nil
	}
	return m.transport(cfg)
}

// Client are the credentials of a client of a service, whatever host it is at:
// the server must show that service's certificate.
func (m *Mutual) Client(service string) credentials.TransportCredentials {
	return client{TransportCredentials: credentials.NewTLS(m.clientConfig(m.current(), service)), mutual: m, service: service}
}

func (m *Mutual) clientConfig(now *pair, service string) *tls.Config {
	return &tls.Config{
		MinVersion: m.files.minVersion(), Certificates: []tls.Certificate{now.Certificate},
		InsecureSkipVerify: true, // hosts are not looked at: verify looks at the chain and at whose it is
		VerifyConnection:   func(state tls.ConnectionState) error { return m.verify(now.roots, state, service) },
	}
}

// verify is what a client finds of the server's certificate.
func (m *Mutual) verify(roots *x509.CertPool, state tls.ConnectionState, service string) error {
	leaf := state.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: m.now()}); err != nil {
		return Explain(err)
	}
	if got, err := m.service(leaf); err != nil || got != service {
		return fmt.Errorf("the certificate is valid for %s, not spiffe://%s/%s", names(leaf), m.domain, service)
	}
	m.met(service, leaf)
	return nil
}

// service is whose a certificate is.
func (m *Mutual) service(c *x509.Certificate) (string, error) {
	if len(c.URIs) == 1 && c.URIs[0].Scheme == "spiffe" && c.URIs[0].Host == m.domain {
		if service := strings.TrimPrefix(c.URIs[0].Path, "/"); service != "" {
			return service, nil
		}
	}
	return "", fmt.Errorf("the certificate of %s is of no service of the trust domain %s", names(c), m.domain)
}

// Peer tells which service is at the other end of a call to a Server.
func (m *Mutual) Peer(ctx context.Context) (service string, err error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", errors.New("the call came over no connection")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return "", errors.New("the call came without a certificate")
	}
	service, err = m.service(info.State.PeerCertificates[0])
	if err == nil {
		m.met(service, info.State.PeerCertificates[0])
	}
	return service, err
}

// client shakes hands with what is in the files by then.
type client struct {
	credentials.TransportCredentials
	mutual  *Mutual
	service string
}

func (c client) Clone() credentials.TransportCredentials {
	return client{c.TransportCredentials.Clone(), c.mutual, c.service}
}

// ClientHandshake implements credentials.TransportCredentials.
func (c client) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(c.mutual.clientConfig(c.mutual.current(), c.service)).ClientHandshake(ctx, authority, raw)
}
