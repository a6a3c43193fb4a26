package tlsfiles

import (
	"crypto/tls"

	"google.golang.org/grpc/credentials"
)

// Client are the settings of a client that verifies a server by its host; the
// zero value believes the system's authorities and shows nothing.
type Client struct {
	CA   string
	Cert string
	Key  string
}

// Config is the configuration of connections, laid over base, which may be nil and
// is not changed. The own certificate is read anew at every handshake, so that
// whoever connects again after a year shows what has been renewed. The authorities
// are those of now: crypto/tls offers no place to verify an IP address with others.
func (c Client) Config(base *tls.Config) (*tls.Config, error) {
	cfg := base.Clone()
	if cfg == nil {
		cfg = &tls.Config{} //nolint:gosec // the version follows
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	if c.CA != "" {
		roots, err := readRoots(c.CA)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = roots
	}
	if c.Cert != "" || c.Key != "" {
		own := Files{Cert: c.Cert, Key: c.Key}
		if _, err := own.read(); err != nil {
			return nil, err
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			now, err := own.read()
			if err != nil {
				return nil, err
			}
			return &now.Certificate, nil
		}
	}
	return cfg, nil
}

// Transport are the credentials of a gRPC client. Errors of handshakes are
// explained.
func (c Client) Transport() (credentials.TransportCredentials, error) {
	cfg, err := c.Config(nil)
	if err != nil {
		return nil, err
	}
	return transport{credentials.NewTLS(cfg), nil}, nil
}
