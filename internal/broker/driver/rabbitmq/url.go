package rabbitmq

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// target is what a broker URL says.
type target struct {
	hosts    []string // host:port
	secure   bool
	vhost    string
	user     string
	password string
	external bool // the client certificate says who we are
	files    connect.Files
	server   string // name in the server's certificate
	prefix   string
	replicas int
	timeout  time.Duration // of a publish
	beat     time.Duration // of heartbeats
	limit    int           // the broker's max_message_size
	manage   *url.URL      // of the management API; nil is none

	queue string // of a source: its queue; "" is ours
}

// The broker's limit from RabbitMQ 4.0 on; before it was 128 MiB.
const defaultLimit = 16 << 20

// parse reads amqp[s]://[user[:password]@]host[:port][,host…][/vhost][?param=
// value…]. Its errors never show the URL, which may hold a password.
func parse(raw string) (target, error) {
	t := target{
		vhost: "/", user: "guest", password: "guest", prefix: "driftmesh", replicas: 1,
		timeout: 10 * time.Second, beat: 5 * time.Second, limit: defaultLimit,
	}
	scheme, rest, _ := strings.Cut(raw, "://")
	switch scheme {
	case "amqp":
	case "amqps":
		t.secure = true
	default:
		return t, fmt.Errorf("broker URL must begin with amqp:// or amqps://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		if err := t.account(rest[:i]); err != nil {
			return t, err
		}
		rest = rest[i+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	if path != "" {
		var err error
		if t.vhost, err = url.PathUnescape(path); err != nil {
			return t, fmt.Errorf("broker URL has a bad virtual host: %w", err)
		}
	}
	if err := connect.Params(query, t.param); err != nil {
		return t, err
	}
	return t, t.addresses(hosts)
}

func (t *target) account(info string) error {
	user, password, _ := strings.Cut(info, ":")
	var err1, err2 error
	t.user, err1 = url.PathUnescape(user)
	t.password, err2 = url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("broker URL has a bad user or password; percent-encode special characters")
	}
	return nil
}

func (t *target) addresses(hosts string) error {
	port := "5672"
	if t.secure {
		port = "5671"
	}
	for h := range strings.SplitSeq(hosts, ",") {
		u, err := url.Parse("//" + h)
		if err != nil || u.Hostname() == "" || u.Host != h {
			return errors.New("broker URL has a bad host") // not which: it may be a torn password
		}
		if p := u.Port(); p != "" {
			t.hosts = append(t.hosts, net.JoinHostPort(u.Hostname(), p))
		} else {
			t.hosts = append(t.hosts, net.JoinHostPort(u.Hostname(), port))
		}
	}
	return nil
}

func (t *target) param(name, value string) (err error) {
	switch name {
	case "ca", "cert", "key":
		t.files.Set(name, value)
	case "server-name":
		t.server = value
	case "password-file":
		t.password, err = connect.Secret(value)
	case "auth":
		if t.external = value == "external"; !t.external && value != "plain" {
			err = fmt.Errorf("%q is neither plain nor external", value)
		}
	case "prefix":
		t.prefix = value
		if broker.ValidName(value) != nil || len(value) > 32 {
			err = fmt.Errorf("%q can not begin a name", value)
		}
	case "replicas":
		t.replicas, err = connect.Number(value, 1, 9)
	case "max-message-bytes":
		t.limit, err = connect.Number(value, 1<<20, 512<<20)
	case "publish-timeout":
		t.timeout, err = connect.Duration(value, time.Millisecond)
	case "heartbeat":
		t.beat, err = connect.Duration(value, 2*time.Second)
	case "management":
		t.manage, err = url.Parse(value)
		if err != nil || t.manage.Scheme != "http" && t.manage.Scheme != "https" || t.manage.Host == "" {
			err = fmt.Errorf("it must be http://host:port or https://host:port") // not the value: it may hold a password
		}
	default:
		err = fmt.Errorf("not known; known are ca, cert, key, server-name, password-file, auth, prefix, replicas, " +
			"max-message-bytes, publish-timeout, heartbeat, management")
	}
	return err
}

// tls is the TLS configuration, nil for none. Files named in the URL are laid
// over base.
func (t *target) tls(base *tls.Config) (*tls.Config, error) {
	if !t.secure {
		return nil, nil
	}
	cfg, err := t.files.Over(base)
	if err == nil && t.server != "" {
		cfg.ServerName = t.server
	}
	return cfg, err
}
