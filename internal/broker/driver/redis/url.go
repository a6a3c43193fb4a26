package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// target is what a broker URL says.
type target struct {
	addrs    []string // host:port
	user     string
	password string
	db       int
	secure   bool
	prefix   string
	timeout  time.Duration // of a publish
	ca       string
	cert     string
	key      string
}

const defaultPort = "6379"

// parse reads redis://[[user]:password@]host[:port][,host…][/db][?param=value…].
// The parameters are password-file, ca, cert, key, prefix and publish-timeout.
func parse(raw string) (target, error) {
	t := target{prefix: "driftmesh", timeout: 10 * time.Second}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return t, errors.New("broker URL has no scheme")
	}
	t.secure = scheme != "redis"
	hosts, query, _ := strings.Cut(rest, "?")
	hosts, err := t.cutUser(hosts)
	if err != nil {
		return t, err
	}
	hosts, db, _ := strings.Cut(hosts, "/")
	if db != "" {
		if t.db, err = strconv.Atoi(db); err != nil || t.db < 0 {
			return t, errors.New("broker URL has a bad database")
		}
	}
	for h := range strings.SplitSeq(hosts, ",") {
		addr, err := address(h)
		if err != nil {
			return t, err
		}
		t.addrs = append(t.addrs, addr)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return t, fmt.Errorf("parse parameters of broker URL: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := t.param(name, values.Get(name)); err != nil {
			return t, fmt.Errorf("broker URL parameter %s: %w", name, err)
		}
	}
	return t, nil
}

// cutUser takes user and password off the front.
func (t *target) cutUser(hosts string) (string, error) {
	i := strings.LastIndexByte(hosts, '@')
	if i < 0 {
		return hosts, nil
	}
	u, err := url.Parse("redis://" + hosts[:i] + "@host")
	if err != nil || u.User == nil {
		// The error would show the password.
		return "", errors.New("broker URL has a bad user or password; percent-encode special characters")
	}
	t.user = u.User.Username()
	t.password, _ = u.User.Password()
	return hosts[i+1:], nil
}

// address is a host with its port.
func address(h string) (string, error) {
	u, err := url.Parse("redis://" + h)
	if err != nil || u.Hostname() == "" || u.Host != h || strings.ContainsAny(h, " /") {
		return "", errors.New("broker URL has a bad host") // not which: it may be a torn password
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

func (t *target) param(name, value string) (err error) {
	switch name {
	case "password-file":
		var b []byte
		if b, err = os.ReadFile(value); err == nil {
			t.password = strings.TrimSpace(string(b))
		}
	case "ca":
		t.ca, t.secure = value, true
	case "cert":
		t.cert, t.secure = value, true
	case "key":
		t.key, t.secure = value, true
	case "prefix":
		t.prefix = value
		if value == "" || strings.ContainsAny(value, "{}*? \t\r\n") {
			err = fmt.Errorf("%q can not begin a key", value)
		}
	case "publish-timeout":
		if t.timeout, err = time.ParseDuration(value); err == nil && t.timeout <= 0 {
			err = fmt.Errorf("%q is not positive", value)
		}
	default:
		err = errors.New("not known; known are password-file, ca, cert, key, prefix, publish-timeout")
	}
	return err
}

// hosts are the addresses, for messages.
func (t *target) hosts() string { return strings.Join(t.addrs, ",") }

// tls is the TLS configuration, nil for none. Files named in the URL are laid
// over base.
func (t *target) tls(base *tls.Config) (*tls.Config, error) {
	if base == nil && !t.secure {
		return nil, nil
	}
	cfg := base.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("read broker CA: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("broker CA %s holds no certificate", t.ca)
		}
	}
	if t.cert != "" || t.key != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("load broker client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
