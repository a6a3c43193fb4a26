package tlsfiles

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// refusals counts handshakes that failed and says why, of a flood of them a few.
type refusals struct {
	count prometheus.Counter
	say   *rate.Limiter
}

func newRefusals() refusals {
	return refusals{
		count: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "driftmesh_tls_handshake_failures_total", Help: "TLS handshakes that failed: the log says why.",
		}),
		say: rate.NewLimiter(rate.Every(time.Second), 10),
	}
}

// refuse is told of a handshake that failed.
func (s *Source) refuse(remote, why string) {
	s.refused.count.Inc()
	if !s.refused.say.Allow() {
		return
	}
	if strings.HasPrefix(why, "remote error:") { // the other side says no more than which alert
		leaf := s.pair.Load().Leaf
		why += fmt.Sprintf("; the certificate it was shown is for %s, issued by %q, good until %s",
			names(leaf), leaf.Issuer.String(), leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	s.log.Warn("a TLS connection was refused", slog.String(telemetry.KeyAddr, remote), slog.String(telemetry.KeyErr, why))
}

// Explain is err of a handshake in words that say which name is missing, who
// issued what is not believed, and when it expired.
func Explain(err error) error {
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok && unknown.Cert != nil {
		return fmt.Errorf("the certificate %s is signed by unknown authority %q", name(unknown.Cert), unknown.Cert.Issuer.String())
	}
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok && bad.Reason == x509.Expired {
		if time.Now().Before(bad.Cert.NotBefore) {
			return fmt.Errorf("the certificate %s is not valid before %s", name(bad.Cert), bad.Cert.NotBefore.UTC().Format(time.RFC3339))
		}
		return fmt.Errorf("the certificate %s expired on %s", name(bad.Cert), bad.Cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Errorf("the certificate is valid for %s, not %s", names(wrong.Certificate), wrong.Host)
	}
	return err
}

// Listener encrypts what is accepted by lis, for HTTP/1.1 and HTTP/2. Give its
// server's failures to ErrorLog.
func (s *Source) Listener(lis net.Listener) net.Listener { return tls.NewListener(lis, s.Server()) }

// ErrorLog is a log for an http.Server that has a Listener of the source. Other
// messages than of failed handshakes go to otherwise at level. A nil source is one
// without TLS.
func (s *Source) ErrorLog(otherwise *slog.Logger, level slog.Level) *log.Logger { //nolint:forbidigo // what an http.Server takes
	plain := slog.NewLogLogger(otherwise.Handler(), level)
	if s == nil {
		return plain
	}
	return log.New(handshakes{s, plain.Writer()}, "", 0) //nolint:forbidigo // what an http.Server takes
}

// handshakes picks what net/http says of handshakes out of what it says.
type handshakes struct {
	source *Source
	other  io.Writer
}

var handshakePrefix = []byte("http: TLS handshake error from ")

func (h handshakes) Write(line []byte) (int, error) {
	rest, is := bytes.CutPrefix(line, handshakePrefix)
	if !is {
		return h.other.Write(line)
	}
	remote, why, _ := strings.Cut(strings.TrimSpace(string(rest)), ": ")
	h.source.refuse(remote, why)
	return len(line), nil
}

// Transport are the credentials of a gRPC server with this certificate.
// Connections within the process, over a pipe, stay plain.
func (s *Source) Transport() credentials.TransportCredentials { return s.transport(s.Server()) }

func (s *Source) transport(cfg *tls.Config) credentials.TransportCredentials {
	return transport{credentials.NewTLS(cfg), s}
}

type transport struct {
	credentials.TransportCredentials
	source *Source
}

func (t transport) Clone() credentials.TransportCredentials {
	return transport{t.TransportCredentials.Clone(), t.source}
}

// ServerHandshake implements credentials.TransportCredentials.
func (t transport) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if raw.LocalAddr().Network() == "bufconn" {
		return insecure.NewCredentials().ServerHandshake(raw)
	}
	conn, info, err := t.TransportCredentials.ServerHandshake(raw)
	if err != nil && !errors.Is(err, io.EOF) { // who only looks whether somebody listens is no failure
		t.source.refuse(raw.RemoteAddr().String(), Explain(err).Error())
	}
	return conn, info, err
}

// ClientHandshake implements credentials.TransportCredentials.
func (t transport) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := t.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		err = Explain(err)
	}
	return conn, info, err
}
