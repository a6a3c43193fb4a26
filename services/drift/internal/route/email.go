package route

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// email is the Route to mailboxes, by SMTP: smtp://USER:PASSWORD@HOST:587, which
// must offer STARTTLS, or smtps://…:465. Message-ID is the event's, and every
// mail about an alert belongs to one thread.
type email struct {
	server  *url.URL
	cfg     Config
	links   links
	now     func() time.Time
	secrets poster
}

func newEmail(cfg Config, deps Deps) (Route, error) {
	u, err := url.Parse(cfg.URL.Reveal())
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return nil, errors.New("url: must be smtp://USER:PASSWORD@HOST:PORT or smtps://…")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"smtp": "587", "smtps": "465"}[u.Scheme])
	}
	if _, err := mail.ParseAddress(cfg.From); err != nil {
		return nil, errors.New("from: must be an address of email")
	}
	if len(cfg.To) == 0 {
		return nil, errors.New("to: must name at least one address")
	}
	for _, to := range cfg.To {
		if _, err := mail.ParseAddress(to); err != nil {
			return nil, fmt.Errorf("to: %.100q is no address of email", to)
		}
	}
	hidden := poster{base: u, secrets: []string{cfg.URL.Reveal()}}
	if password, ok := u.User.Password(); ok {
		hidden.secrets = append(hidden.secrets, password)
	}
	return email{u, cfg, deps.links(), deps.Now, hidden}, nil
}

// Deliver implements Route.
func (m email) Deliver(ctx context.Context, e *alert.Event) error {
	err := m.send(ctx, e)
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Fault](err); ok {
		return err
	}
	says := m.server.Host + ": " + m.secrets.hide(firstLine([]byte(err.Error())))
	// A reply of 5xx is for good (RFC 5321, section 4.2.1).
	if reply, ok := errors.AsType[*textproto.Error](err); ok && reply.Code >= 500 {
		return fault.Invalid.New("%s", says)
	}
	return fault.Unavailable.New("%s", says)
}

func (m email) send(ctx context.Context, e *alert.Event) error {
	client, err := m.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // Quit has said all
	if password, ok := m.server.User.Password(); ok {
		if err := client.Auth(smtp.PlainAuth("", m.server.User.Username(), password, m.server.Hostname())); err != nil {
			return err
		}
	}
	from, _ := mail.ParseAddress(m.cfg.From)
	if err := client.Mail(from.Address); err != nil {
		return err
	}
	for _, text := range m.cfg.To {
		to, _ := mail.ParseAddress(text)
		if err := client.Rcpt(to.Address); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m.message(e, from.Address)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = client.Quit() // it has the message
	return nil
}

func (m email) dial(ctx context.Context) (*smtp.Client, error) {
	deadline := time.Now().Add(m.cfg.timeout())
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var conn net.Conn
	var err error
	secured := &tls.Config{ServerName: m.server.Hostname(), MinVersion: tls.VersionTLS12}
	if m.server.Scheme == "smtps" {
		conn, err = (&tls.Dialer{Config: secured}).DialContext(ctx, "tcp", m.server.Host)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", m.server.Host)
	}
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(deadline) // of all that follows
	client, err := smtp.NewClient(conn, m.server.Hostname())
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	if m.server.Scheme == "smtps" || loopback(m.server.Hostname()) {
		return client, nil
	}
	if offered, _ := client.Extension("STARTTLS"); offered {
		err = client.StartTLS(secured)
	} else if !m.cfg.PlainHTTP {
		err = fault.Invalid.New("%s offers no encryption (STARTTLS); plain-http: true allows that", m.server.Host)
	}
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	return client, nil
}

func (m email) message(e *alert.Event, from string) []byte {
	var b bytes.Buffer
	header := func(name, value string) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, strings.NewReplacer("\r", " ", "\n", " ").Replace(value))
	}
	domain := from[strings.LastIndexByte(from, '@')+1:]
	header("From", m.cfg.From)
	header("To", strings.Join(m.cfg.To, ", "))
	header("Subject", mime.QEncoding.Encode("utf-8", headline(e)))
	header("Date", m.now().Format(time.RFC1123Z))
	header("Message-ID", "<"+e.ID+"@"+domain+">")
	header("References", "<"+e.AlertID+"@"+domain+">")
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "base64")
	text := e.Text() + "\n\n" + e.Details() + "\n" + m.links.page(e) + "\n" + strings.Join(m.links.traces(e), "\n") + "\n"
	b.WriteString("\r\n")
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	for len(encoded) > 0 {
		n := min(len(encoded), 76) // RFC 2045
		b.WriteString(encoded[:n] + "\r\n")
		encoded = encoded[n:]
	}
	return b.Bytes()
}
