package redis

import (
	"cmp"
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

// layout is how the servers of a URL belong together.
type layout int

const (
	servers   layout = iota // a primary and its replicas, or one alone
	sentinels               // those who watch over them
	cluster                 // some nodes of a cluster
)

// target is what a broker URL says.
type target struct {
	layout   layout
	addrs    []string // host:port
	master   string   // what the sentinels call the primary
	user     string
	password string
	db       int
	secure   bool
	prefix   string
	timeout  time.Duration // of a publish
	wait     int           // how many replicas must have a message
	files    connect.Files
	foreign  bool // of a source: the server is somebody else's

	sentinelUser, sentinelPassword string
}

const (
	serverPort   = "6379"
	sentinelPort = "26379"
)

// parse reads redis://[[user]:password@]host[:port][,host…][/db][?param=value…],
// redis+sentinel://…/name[?db=…] and redis+cluster://…; target.param knows the
// parameters.
func parse(raw string) (target, error) {
	t := target{prefix: "driftmesh", timeout: 10 * time.Second}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return t, errors.New("broker URL has no scheme")
	}
	scheme, kind, _ := strings.Cut(scheme, "+")
	t.secure = scheme != "redis"
	port := serverPort
	switch kind {
	case "":
	case "sentinel":
		t.layout, port = sentinels, sentinelPort
	case "cluster":
		t.layout = cluster
	default:
		return t, fmt.Errorf("broker URL has an unknown scheme %s+%s", scheme, kind)
	}
	hosts, query, _ := strings.Cut(rest, "?")
	user, hosts, err := connect.CutUser(hosts)
	if err != nil {
		return t, err
	}
	if user != nil {
		t.user = user.Username()
		t.password, _ = user.Password()
	}
	hosts, path, _ := strings.Cut(hosts, "/")
	if err := t.place(path); err != nil {
		return t, err
	}
	for h := range strings.SplitSeq(hosts, ",") {
		addr, err := address(h, port)
		if err != nil {
			return t, err
		}
		t.addrs = append(t.addrs, addr)
	}
	if err := connect.Params(query, t.param); err != nil {
		return t, err
	}
	return t, t.validate()
}

// place reads the path: the number of the database, or the name of the primary.
func (t *target) place(path string) (err error) {
	switch {
	case t.layout == sentinels:
		t.master = path
	case path != "":
		t.db, err = database(path)
	}
	return err
}

func database(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, errors.New("broker URL has a bad database")
	}
	return n, nil
}

// validate reports what does not go together.
func (t *target) validate() error {
	switch {
	case t.layout == sentinels && (t.master == "" || strings.ContainsAny(t.master, "/ ")):
		return errors.New("broker URL needs the name of the primary behind the sentinels: redis+sentinel://host/name")
	case t.layout == cluster && t.db != 0:
		return errors.New("broker URL names a database, and a cluster has one only")
	case t.layout == cluster && t.wait > 0:
		return errors.New("broker URL parameter wait: not with a cluster")
	}
	return nil
}

// address is a host with its port.
func address(h, port string) (string, error) {
	u, err := url.Parse("redis://" + h)
	if err != nil || u.Hostname() == "" || u.Host != h || strings.ContainsAny(h, " /") {
		return "", errors.New("broker URL has a bad host") // not which: it may be a torn password
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)), nil
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
	case "wait":
		t.wait, err = connect.Number(value, 0, 5)
	case "db":
		t.db, err = database(value)
	case "sentinel-user":
		t.sentinelUser = value
	case "sentinel-password-file":
		t.sentinelPassword, err = connect.Secret(value)
	default:
		err = errors.New("not known; known are password-file, ca, cert, key, prefix, publish-timeout, wait, db, " +
			"sentinel-user, sentinel-password-file")
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
