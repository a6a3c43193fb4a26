// Package connect is what connecting means to every driver: its settings, the
// parts of a broker URL that all brokers share, TLS from files, and the
// publishers, consumers and tails that close with a connection. What one
// broker's URL has alone, its driver reads.
package connect

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/tlsfiles"
)

// Config of a connection. URL is required.
type Config struct {
	// URL is scheme://[user[:password]@]host[:port][,host…][?param=value…]; the
	// driver's parse says which schemes, paths and parameters there are.
	URL string
	// TLS is used for the connection when given; files in the URL are added.
	TLS *tls.Config
	// Name is shown by the broker; default "driftmesh".
	Name string
	// Log hears about connections and losses; default: nobody.
	Log *slog.Logger
	// Lost is told how many messages retention removed before a group read
	// them; may be nil.
	Lost func(topic, group string, n int64)
}

// WithDefaults returns the config with its zero fields filled in.
func (c Config) WithDefaults() Config {
	if c.Name == "" {
		c.Name = "driftmesh"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Losses logs and reports n messages lost by retention; none is nothing.
func (c Config) Losses(topic, group string, n int64) {
	if n <= 0 {
		return
	}
	c.Log.Error("messages lost by retention", "topic", topic, "group", group, "messages", n)
	if c.Lost != nil {
		c.Lost(topic, group, n)
	}
}

// CutUser takes the user, nil for none, off the front of hosts. Its errors do
// not show the password.
func CutUser(hosts string) (user *url.Userinfo, rest string, err error) {
	i := strings.LastIndexByte(hosts, '@')
	if i < 0 {
		return nil, hosts, nil
	}
	u, err := url.Parse("broker://" + hosts[:i] + "@host")
	if err != nil || u.User == nil {
		return nil, "", errors.New("broker URL has a bad user or password; percent-encode special characters")
	}
	return u.User, hosts[i+1:], nil
}

// Params calls set with every parameter of a URL's query, by name, and says at
// which it failed.
func Params(query string, set func(name, value string) error) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("broker URL has bad parameters; percent-encode special characters") // they may hold a secret
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := set(name, values.Get(name)); err != nil {
			return fmt.Errorf("broker URL parameter %s: %w", name, err)
		}
	}
	return nil
}

// Cut takes parameters of these names out of a URL's query. Its errors do not show the
// URL.
func Cut(raw string, names ...string) (rest string, values map[string]string, err error) {
	front, query, _ := strings.Cut(raw, "?")
	all, err := url.ParseQuery(query)
	if err != nil {
		return "", nil, errors.New("broker URL has bad parameters; percent-encode special characters") // they may hold a secret
	}
	values = map[string]string{}
	for _, name := range names {
		if all.Has(name) {
			values[name] = all.Get(name)
			all.Del(name)
		}
	}
	if len(all) > 0 {
		front += "?" + all.Encode()
	}
	return front, values, nil
}

// Number reads a parameter that is a whole number from low to high.
func Number(value string, low, high int) (int, error) {
	n, err := strconv.Atoi(value)
	if err == nil && (n < low || n > high) {
		err = fmt.Errorf("%q is not %d to %d", value, low, high)
	}
	return n, err
}

// Duration reads a parameter that is a duration of low or longer.
func Duration(value string, low time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err == nil && d < low {
		err = fmt.Errorf("%q is less than %v", value, low)
	}
	return d, err
}

// Secret reads a parameter that names a file which holds a secret.
func Secret(path string) (string, error) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

// Files are what a URL's parameters ca, cert and key name.
type Files struct{ CA, Cert, Key string }

// Set takes a parameter if it is one of the three.
func (f *Files) Set(name, value string) bool {
	switch name {
	case "ca":
		f.CA = value
	case "cert":
		f.Cert = value
	case "key":
		f.Key = value
	default:
		return false
	}
	return true
}

// Over is a TLS configuration with the files laid over base, which may be nil
// and is not changed. The own certificate is read anew when a connection is made.
func (f Files) Over(base *tls.Config) (*tls.Config, error) {
	return tlsfiles.Client{CA: f.CA, Cert: f.Cert, Key: f.Key}.Config(base)
}
