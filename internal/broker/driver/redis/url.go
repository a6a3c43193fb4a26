package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
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
	files    connect.Files
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
	user, hosts, err := connect.CutUser(hosts)
	if err != nil {
		return t, err
	}
	if user != nil {
		t.user = user.Username()
		t.password, _ = user.Password()
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
	return t, connect.Params(query, t.param)
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
		t.password, err = connect.Secret(value)
	case "ca", "cert", "key":
		t.secure = t.files.Set(name, value)
	case "prefix":
		t.prefix = value
		if value == "" || strings.ContainsAny(value, "{}*? \t\r\n") {
			err = fmt.Errorf("%q can not begin a key", value)
		}
	case "publish-timeout":
		t.timeout, err = connect.Duration(value, 1)
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
	return t.files.Over(base)
}
