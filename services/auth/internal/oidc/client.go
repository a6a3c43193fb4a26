package oidc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// Bounds of what is asked of a provider.
const (
	// requestTimeout is for a whole request, redirects and all.
	requestTimeout = 10 * time.Second
	stepTimeout    = 5 * time.Second // to connect, to shake hands, to begin an answer
	maxAnswer      = 1 << 20         // bytes; discovery documents have some 5 kB
	maxHead        = 64 << 10
	maxRedirects   = 3
	// maxConns bounds what strangers who log in can have us ask at a time.
	maxConns = 16
)

// newClient makes the client for a provider, which only one on loopback itself has ask
// for something there: others have no business with what listens on this machine.
func newClient(ca string, near bool) (*http.Client, error) {
	secured := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		secured.RootCAs = x509.NewCertPool()
		if !secured.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read authorities: there is no certificate in %s", ca)
		}
	}
	return &http.Client{
		Timeout: requestTimeout,
		Transport: &careful{near: near, Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: secured, ForceAttemptHTTP2: true,
			DialContext:         (&net.Dialer{Timeout: stepTimeout}).DialContext,
			TLSHandshakeTimeout: stepTimeout, ResponseHeaderTimeout: stepTimeout, IdleConnTimeout: time.Minute,
			MaxConnsPerHost: maxConns, MaxResponseHeaderBytes: maxHead,
		}},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return errors.New("too many redirects")
			}
			return nil
		},
	}, nil
}

// careful sends nothing over plain text that leaves this machine, wherever the URL
// came from, and takes no more of an answer than maxAnswer.
type careful struct {
	*http.Transport
	near bool
}

// RoundTrip implements http.RoundTripper.
func (c *careful) RoundTrip(r *http.Request) (*http.Response, error) {
	if !secure(r.URL) {
		return nil, fmt.Errorf("%s is neither https nor on loopback", r.URL.Redacted())
	}
	if !c.near && loopback(r.URL.Hostname()) {
		return nil, fmt.Errorf("%s is on this machine, and the provider is not", r.URL.Redacted())
	}
	resp, err := c.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// bounded is a body that fails when it is too long, instead of seeming to end.
type bounded struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return n, err
}
