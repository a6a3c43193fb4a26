package process

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// probe asks the admin address of another process whether it is ready: a
// container without a shell needs no other program for its health check.
//
// It sends no token, for what is not ready has a name without one, and so it has
// no need to know whom it speaks with: the certificate may be for other names,
// or have been replaced by one that cannot be read.
func probe(ctx context.Context, admin Admin) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout+time.Second)
	defer cancel()
	host, port, err := net.SplitHostPort(admin.Listen)
	if err != nil {
		return fmt.Errorf("admin.listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	admin.Listen = net.JoinHostPort(host, port)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin.URL()+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready:\n%s", answer)
	}
	return nil
}
