package nats

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// target is what a broker URL says.
type target struct {
	servers  string // comma separated, for nats.Connect
	secure   bool
	prefix   string
	replicas int
	timeout  time.Duration // of a publish
	auth     []nats.Option
	ca       string
	cert     string
	key      string
}

// parse reads nats://[user[:password]@]host[:port][,host…][?param=value…].
// The parameters are creds, nkey, token, token-file, ca, cert, key, prefix,
// replicas and publish-timeout.
func parse(raw string) (target, error) {
	t := target{prefix: "driftmesh", replicas: 1, timeout: 10 * time.Second}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return t, fmt.Errorf("broker URL has no scheme")
	}
	t.secure = scheme != "nats"
	hosts, query, _ := strings.Cut(rest, "?")
	user, hosts, err := cutUser(strings.TrimSuffix(hosts, "/"))
	if err != nil {
		return t, err
	}
	if user != nil {
		password, _ := user.Password()
		t.auth = append(t.auth, nats.UserInfo(user.Username(), password))
	}
	var servers []string
	for h := range strings.SplitSeq(hosts, ",") {
		if h == "" || strings.ContainsAny(h, "/ ") {
			return t, fmt.Errorf("broker URL has a bad host %q", h)
		}
		servers = append(servers, "nats://"+h)
	}
	t.servers = strings.Join(servers, ",")
	values, err := url.ParseQuery(query)
	if err != nil {
		return t, fmt.Errorf("parse parameters of broker URL: %w", err)
	}
	return t, t.params(values)
}

func cutUser(hosts string) (*url.Userinfo, string, error) {
	i := strings.LastIndexByte(hosts, '@')
	if i < 0 {
		return nil, hosts, nil
	}
	u, err := url.Parse("nats://" + hosts[:i] + "@host")
	if err != nil {
		// The error would show the password.
		return nil, "", fmt.Errorf("broker URL has a bad user or password; percent-encode special characters")
	}
	return u.User, hosts[i+1:], nil
}

func (t *target) params(values url.Values) error {
	for _, name := range slices.Sorted(keys(values)) {
		if err := t.param(name, values.Get(name)); err != nil {
			return fmt.Errorf("broker URL parameter %s: %w", name, err)
		}
	}
	return nil
}

func keys(values url.Values) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range values {
			if !yield(k) {
				return
			}
		}
	}
}

func (t *target) param(name, value string) (err error) {
	switch name {
	case "creds":
		t.auth = append(t.auth, nats.UserCredentials(value))
	case "nkey":
		var o nats.Option
		if o, err = nats.NkeyOptionFromSeed(value); err == nil {
			t.auth = append(t.auth, o)
		}
	case "token":
		t.auth = append(t.auth, nats.Token(value))
	case "token-file":
		var b []byte
		if b, err = os.ReadFile(value); err == nil {
			t.auth = append(t.auth, nats.Token(strings.TrimSpace(string(b))))
		}
	case "ca":
		t.ca, t.secure = value, true
	case "cert":
		t.cert, t.secure = value, true
	case "key":
		t.key, t.secure = value, true
	case "prefix":
		t.prefix = value
		if value == "" || strings.ContainsAny(value, " .*>/\\\t") {
			err = fmt.Errorf("%q can not be a subject token", value)
		}
	case "replicas":
		if t.replicas, err = strconv.Atoi(value); err == nil && (t.replicas < 1 || t.replicas > 5) {
			err = fmt.Errorf("%q is not 1 to 5", value)
		}
	case "publish-timeout":
		if t.timeout, err = time.ParseDuration(value); err == nil && t.timeout <= 0 {
			err = fmt.Errorf("%q is not positive", value)
		}
	default:
		err = fmt.Errorf("not known; known are creds, nkey, token, token-file, ca, cert, key, prefix, replicas, publish-timeout")
	}
	return err
}

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
