package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/driftmesh/driftmesh/internal/broker/driver/connect"
)

const (
	defaultPort       = "9092"
	defaultPartitions = 12
	defaultSession    = 10 * time.Second
	defaultTimeout    = 10 * time.Second
	defaultMaxMessage = 10 << 20
	parameters        = "sasl, ca, cert, key, prefix, partitions, replicas, publish-timeout, session-timeout, max-message-bytes, compression"
)

// target is what a broker URL says.
type target struct {
	brokers     []string
	secure      bool
	user        *url.Userinfo
	mechanism   string
	prefix      string
	partitions  int
	replicas    int
	timeout     time.Duration // of a publish
	session     time.Duration // after which a silent worker is dead
	maxMessage  int           // max.message.bytes of topics we make
	compression kafkago.Compression
	files       connect.Files

	gid string // of a source: the Kafka group; "" is ours
}

// parse reads kafka://[user:password@]host[:port][,host…][?param=value…].
func parse(raw string) (target, error) {
	t := target{
		prefix: "driftmesh", partitions: defaultPartitions, replicas: 1,
		timeout: defaultTimeout, session: defaultSession, maxMessage: defaultMaxMessage,
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return t, fmt.Errorf("broker URL has no scheme")
	}
	t.secure = scheme != "kafka"
	hosts, query, _ := strings.Cut(rest, "?")
	user, hosts, err := connect.CutUser(strings.TrimSuffix(hosts, "/"))
	if err != nil {
		return t, err
	}
	t.user = user
	for h := range strings.SplitSeq(hosts, ",") {
		if h == "" || strings.ContainsAny(h, "/ ") {
			return t, errors.New("broker URL has a bad host") // not which: it may be a torn password
		}
		if _, _, err := net.SplitHostPort(h); err != nil {
			h = net.JoinHostPort(strings.Trim(h, "[]"), defaultPort)
		}
		t.brokers = append(t.brokers, h)
	}
	return t, connect.Params(query, t.param)
}

func (t *target) param(name, value string) (err error) {
	switch name {
	case "sasl":
		t.mechanism = value
		if !slices.Contains([]string{"plain", "scram-sha-256", "scram-sha-512"}, value) {
			err = fmt.Errorf("%q is not plain, scram-sha-256 or scram-sha-512", value)
		}
	case "ca", "cert", "key":
		t.secure = t.files.Set(name, value)
	case "prefix":
		t.prefix = value
		if strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
			err = fmt.Errorf("%q can not begin a topic", value)
		}
	case "partitions":
		t.partitions, err = connect.Number(value, 1, 10_000)
	case "replicas":
		t.replicas, err = connect.Number(value, 1, 9)
	case "max-message-bytes":
		t.maxMessage, err = connect.Number(value, 64<<10, 64<<20)
	case "publish-timeout":
		t.timeout, err = connect.Duration(value, 100*time.Millisecond)
	case "session-timeout":
		t.session, err = connect.Duration(value, 100*time.Millisecond)
	case "compression":
		err = t.compression.UnmarshalText([]byte(value))
	default:
		err = fmt.Errorf("not known; known are %s", parameters)
	}
	return err
}

// sasl is how we authenticate, nil when there is no user.
func (t *target) sasl() (sasl.Mechanism, error) {
	if t.user == nil {
		return nil, nil
	}
	password, _ := t.user.Password()
	algorithm := scram.SHA512
	switch t.mechanism {
	case "scram-sha-256":
		algorithm = scram.SHA256
	case "scram-sha-512":
	default:
		return plain.Mechanism{Username: t.user.Username(), Password: password}, nil
	}
	m, err := scram.Mechanism(algorithm, t.user.Username(), password)
	if err != nil {
		return nil, fmt.Errorf("prepare SCRAM: %w", err)
	}
	return m, nil
}

// tls is the TLS configuration, nil for none. Files named in the URL are laid
// over base.
func (t *target) tls(base *tls.Config) (*tls.Config, error) {
	if base == nil && !t.secure {
		return nil, nil
	}
	return t.files.Over(base)
}

// name is the Kafka topic of a topic.
func (t *target) name(topic string) string {
	if t.prefix == "" {
		return topic
	}
	return t.prefix + "." + topic
}

// group is the Kafka group of a group. Kafka's groups belong to no topic, ours
// do.
func (t *target) group(topic, group string) string {
	if t.gid != "" {
		return t.gid
	}
	return t.name(topic) + "." + group
}
