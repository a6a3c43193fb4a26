package nats

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

// target is what a broker URL says.
type target struct {
	servers  string // comma separated, for nats.Connect
	secure   bool
	prefix   string
	replicas int
	timeout  time.Duration // of a publish
	auth     []nats.Option
	files    connect.Files
}

// parse reads nats://[user[:password]@]host[:port][,host…][?param=value…].
// The parameters are creds, nkey, token, token-file, ca, cert, key, prefix,
// inbox-prefix, replicas and publish-timeout.
func parse(raw string) (target, error) {
	t := target{prefix: "driftmesh", replicas: 1, timeout: 10 * time.Second}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return t, errors.New("broker URL has no scheme")
	}
	t.secure = scheme != "nats"
	hosts, query, _ := strings.Cut(rest, "?")
	user, hosts, err := connect.CutUser(strings.TrimSuffix(hosts, "/"))
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
			return t, errors.New("broker URL has a bad host") // not which: it may be a torn password
		}
		servers = append(servers, "nats://"+h)
	}
	t.servers = strings.Join(servers, ",")
	return t, connect.Params(query, t.param)
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
		var token string
		if token, err = connect.Secret(value); err == nil {
			t.auth = append(t.auth, nats.Token(token))
		}
	case "ca", "cert", "key":
		t.secure = t.files.Set(name, value)
	case "prefix":
		t.prefix = value
		if value == "" || strings.ContainsAny(value, " .*>/\\\t") {
			err = fmt.Errorf("%q can not be a subject token", value)
		}
	case "inbox-prefix":
		t.auth = append(t.auth, nats.CustomInboxPrefix(value))
		if value == "" || strings.ContainsAny(value, " *>/\\\t") || strings.HasSuffix(value, ".") {
			err = fmt.Errorf("%q can not be the beginning of a subject", value)
		}
	case "replicas":
		t.replicas, err = connect.Number(value, 1, 5)
	case "publish-timeout":
		t.timeout, err = connect.Duration(value, 1)
	default:
		err = fmt.Errorf("not known; known are creds, nkey, token, token-file, ca, cert, key, prefix, inbox-prefix, replicas, publish-timeout")
	}
	return err
}

// tls is the TLS configuration, nil for none. Files named in the URL are laid
// over base.
func (t *target) tls(base *tls.Config) (*tls.Config, error) {
	if base == nil && !t.secure {
		return nil, nil
	}
	return t.files.Over(base)
}
