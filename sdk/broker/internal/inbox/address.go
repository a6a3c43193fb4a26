package inbox

import (
	"cmp"
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

const (
	defaultPrefix  = "driftmesh"
	defaultTimeout = 10 * time.Second
)

// Address is what the URL of a broker says.
type Address struct {
	Scheme   string
	User     string
	Password string
	Hosts    []string // host:port
	Path     string   // decoded, without the slash
	Prefix   string
	Timeout  time.Duration // of a publish

	ca, cert, key string
	rest          url.Values // of the parameters
	known         []string   // what was asked for
}

// Parse reads scheme://[user[:password]@]host[:port][,host…][/path][?name=value…].
// port is that of hosts without one. Neither it nor what comes after shows
// the URL in an error, for it may hold a password.
func Parse(raw, port string) (*Address, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, errors.New("the broker's URL has no scheme")
	}
	rest, query, _ := strings.Cut(rest, "?")
	a := &Address{Scheme: scheme}
	var err error
	if a.rest, err = url.ParseQuery(query); err != nil {
		return nil, errors.New("the broker's URL has bad parameters; percent-encode special characters")
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, password, _ := strings.Cut(rest[:i], ":")
		var bad error
		a.User, err = url.PathUnescape(user)
		a.Password, bad = url.PathUnescape(password)
		if err != nil || bad != nil {
			return nil, errors.New("the broker's URL has a bad user or password; percent-encode special characters")
		}
		rest = rest[i+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	if a.Path, err = url.PathUnescape(path); err != nil {
		return nil, errors.New("the broker's URL has a bad path; percent-encode special characters")
	}
	for h := range strings.SplitSeq(hosts, ",") {
		u, err := url.Parse("//" + h)
		if err != nil || u.Hostname() == "" || u.Host != h {
			return nil, errors.New("the broker's URL has a bad host; percent-encode special characters in user and password")
		}
		a.Hosts = append(a.Hosts, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)))
	}
	return a, a.common()
}

// common reads the parameters that all brokers have.
func (a *Address) common() (err error) {
	a.Prefix = cmp.Or(a.Param("prefix"), defaultPrefix)
	a.ca, a.cert, a.key = a.Param("ca"), a.Param("cert"), a.Param("key")
	if a.Timeout, err = a.Duration("publish-timeout", defaultTimeout); err != nil {
		return err
	}
	if strings.ContainsAny(a.Prefix, " *>/\\{}\t\r\n") {
		return errors.New("the broker's URL: prefix cannot begin a name")
	}
	if file := a.Param("password-file"); file != "" {
		if a.Password, err = Secret(file); err != nil {
			return fmt.Errorf("the broker's URL: password-file: %w", err)
		}
	}
	return nil
}

// Param takes a parameter; "" is none.
func (a *Address) Param(name string) string {
	a.known = append(a.known, name)
	value := a.rest.Get(name)
	delete(a.rest, name)
	return value
}

// Duration takes a parameter that is a duration.
func (a *Address) Duration(name string, otherwise time.Duration) (time.Duration, error) {
	value := a.Param(name)
	if value == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("the broker's URL: %s: %q is no positive duration, such as 10s", name, value)
	}
	return d, nil
}

// Number takes a parameter that is a whole number from low to high.
func (a *Address) Number(name string, otherwise, low, high int) (int, error) {
	value := a.Param(name)
	if value == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("the broker's URL: %s: %q is no number from %d to %d", name, value, low, high)
	}
	return n, nil
}

// Done refuses parameters that nobody has taken.
func (a *Address) Done() error {
	if len(a.rest) == 0 {
		return nil
	}
	return fmt.Errorf("the broker's URL: unknown parameter %s; there are %s",
		slices.Sorted(maps.Keys(a.rest))[0], strings.Join(slices.Sorted(slices.Values(a.known)), ", "))
}

// String names the hosts, for messages.
func (a *Address) String() string { return strings.Join(a.Hosts, ",") }

// TLS is how to speak TLS, nil for plain text: the files of the URL laid over base,
// or what secure, the scheme, asks for.
func (a *Address) TLS(base *tls.Config, secure bool) (*tls.Config, error) {
	if base == nil && !secure && a.ca+a.cert+a.key == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if base != nil {
		cfg = base.Clone()
	}
	if a.ca != "" {
		raw, err := os.ReadFile(a.ca)
		if err != nil {
			return nil, fmt.Errorf("the broker's URL: ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("the broker's URL: ca: %s has no certificate", a.ca)
		}
	}
	if a.cert == "" && a.key == "" {
		return cfg, nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(a.cert, a.key)
		return &pair, err
	}
	if _, err := load(); err != nil {
		return nil, fmt.Errorf("the broker's URL: cert and key: %w", err)
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return cfg, nil
}

// Secret reads a file that holds one.
func Secret(file string) (string, error) {
	text, err := os.ReadFile(file)
	return strings.TrimSpace(string(text)), err
}
