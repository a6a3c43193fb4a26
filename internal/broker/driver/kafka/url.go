package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
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
	ca          string
	cert        string
	key         string
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
	user, hosts, err := cutUser(strings.TrimSuffix(hosts, "/"))
	if err != nil {
		return t, err
	}
	t.user = user
	for h := range strings.SplitSeq(hosts, ",") {
		if h == "" || strings.ContainsAny(h, "/ ") {
			return t, fmt.Errorf("broker URL has a bad host %q", h)
		}
		if _, _, err := net.SplitHostPort(h); err != nil {
			h = net.JoinHostPort(strings.Trim(h, "[]"), defaultPort)
		}
		t.brokers = append(t.brokers, h)
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

func cutUser(hosts string) (*url.Userinfo, string, error) {
	i := strings.LastIndexByte(hosts, '@')
	if i < 0 {
		return nil, hosts, nil
	}
	u, err := url.Parse("kafka://" + hosts[:i] + "@host")
	if err != nil {
		// The error would show the password.
		return nil, "", fmt.Errorf("broker URL has a bad user or password; percent-encode special characters")
	}
	return u.User, hosts[i+1:], nil
}

func (t *target) param(name, value string) (err error) {
	switch name {
	case "sasl":
		t.mechanism = value
		if !slices.Contains([]string{"plain", "scram-sha-256", "scram-sha-512"}, value) {
			err = fmt.Errorf("%q is not plain, scram-sha-256 or scram-sha-512", value)
		}
	case "ca":
		t.ca, t.secure = value, true
	case "cert":
		t.cert, t.secure = value, true
	case "key":
		t.key, t.secure = value, true
	case "prefix":
		t.prefix = value
		if strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
			err = fmt.Errorf("%q can not begin a topic", value)
		}
	case "partitions":
		t.partitions, err = number(value, 1, 10_000)
	case "replicas":
		t.replicas, err = number(value, 1, 9)
	case "max-message-bytes":
		t.maxMessage, err = number(value, 64<<10, 64<<20)
	case "publish-timeout":
		t.timeout, err = duration(value)
	case "session-timeout":
		t.session, err = duration(value)
	case "compression":
		err = t.compression.UnmarshalText([]byte(value))
	default:
		err = fmt.Errorf("not known; known are %s", parameters)
	}
	return err
}

func number(value string, low, high int) (int, error) {
	n, err := strconv.Atoi(value)
	if err == nil && (n < low || n > high) {
		err = fmt.Errorf("%q is not %d to %d", value, low, high)
	}
	return n, err
}

func duration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err == nil && d < 100*time.Millisecond {
		err = fmt.Errorf("%q is not at least 100ms", value)
	}
	return d, err
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

// name is the Kafka topic of a topic.
func (t *target) name(topic string) string {
	if t.prefix == "" {
		return topic
	}
	return t.prefix + "." + topic
}

// settings marks the Kafka group that holds the settings of a group.
const settingsSuffix = "#settings"

// group is the Kafka group of a group. Kafka's groups belong to no topic, ours
// do.
func (t *target) group(topic, group string) string { return t.name(topic) + "." + group }
