// Package kafka carries spans and records to the mesh over Apache Kafka, and what
// speaks its protocol. Importing it makes addresses with kafka:// and kafka+tls://
// known to the SDK:
//
//	import _ "github.com/driftmesh/driftmesh/sdk/broker/kafka"
//
//	client, err := sdk.New("kafka+tls://producer:PASSWORD@kafka1,kafka2?sasl=scram-sha-512", sdk.WithAPIKey(key))
//
// Acknowledged means that every replica in sync has the batch (acks=all). Beside the
// parameters of package broker the URL may have sasl (plain, scram-sha-256,
// scram-sha-512), compression (none, gzip, snappy, lz4, zstd) and max-message-bytes,
// the limit of the topic, which a producer may not ask for (10 MiB, as the mesh
// makes it).
//
// Kafka refuses nothing when the mesh does not keep up: at the end of its retention
// it deletes the oldest. Give producers a quota, as docs/brokers.md says.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/broker/internal/inbox"
)

func init() {
	sdk.RegisterTransport("kafka", New)
	sdk.RegisterTransport("kafka+tls", New)
}

const (
	port        = "9092"
	dialTimeout = 3 * time.Second
	metadataTTL = 30 * time.Second // it is also asked for after an error
	renewEvery  = time.Second      // at most, after errors
	maxMessage  = 10 << 20
	leastLimit  = 16 << 10 // below which a refusal is believed to be about something else
	// headRoom is what of the topic's limit is left for headers, the frame of the
	// batch, and what is said about a batch that has to be parked.
	headRoom = 16 << 10
)

// New makes a transport to a Kafka cluster without waiting for it.
func New(address string, cfg sdk.TransportConfig) (sdk.Transport, error) {
	a, err := inbox.Parse(address, port)
	if err != nil {
		return nil, err
	}
	p := &publisher{topic: a.Prefix + ".inbox"}
	limit, err := a.Number("max-message-bytes", maxMessage, 64<<10, 64<<20)
	if err != nil {
		return nil, err
	}
	p.limit.Store(int64(limit - headRoom))
	if name := a.Param("compression"); name != "" {
		if err := p.compression.UnmarshalText([]byte(name)); err != nil {
			return nil, fmt.Errorf("the broker's URL: compression: %w", err)
		}
	}
	mechanism, err := login(a)
	if err != nil {
		return nil, err
	}
	secure, err := a.TLS(cfg.TLS, a.Scheme == "kafka+tls")
	if err == nil {
		err = a.Done()
	}
	if err != nil {
		return nil, err
	}
	p.connect(a, secure, mechanism)
	return inbox.New("Kafka", a, cfg, p), nil
}

// login is how we authenticate; nil without a user.
func login(a *inbox.Address) (sasl.Mechanism, error) {
	name := a.Param("sasl")
	algorithm := scram.SHA512
	switch {
	case !slices.Contains([]string{"", "plain", "scram-sha-256", "scram-sha-512"}, name):
		return nil, fmt.Errorf("the broker's URL: sasl: %q is not plain, scram-sha-256 or scram-sha-512", name)
	case a.User == "":
		return nil, nil
	case name == "" || name == "plain":
		return plain.Mechanism{Username: a.User, Password: a.Password}, nil
	case name == "scram-sha-256":
		algorithm = scram.SHA256
	}
	m, err := scram.Mechanism(algorithm, a.User, a.Password)
	if err != nil {
		return nil, fmt.Errorf("prepare SCRAM: %w", err)
	}
	return m, nil
}

// publisher sends each batch as a request of its own, to one partition after the
// other.
type publisher struct {
	topic       string
	compression kafkago.Compression
	client      *kafkago.Client
	transport   *kafkago.Transport
	turn        atomic.Uint64
	limit       atomic.Int64
	sockets     sockets

	mu      sync.Mutex
	renewed time.Time
}

func (p *publisher) connect(a *inbox.Address, secure *tls.Config, mechanism sasl.Mechanism) {
	p.transport = &kafkago.Transport{
		ClientID: "driftmesh-sdk", Dial: p.sockets.dial, DialTimeout: dialTimeout, TLS: secure, SASL: mechanism,
		MetadataTopics: []string{p.topic}, MetadataTTL: metadataTTL,
	}
	p.client = &kafkago.Client{Addr: kafkago.TCP(a.Hosts...), Transport: p.transport, Timeout: a.Timeout}
}

// Publish implements inbox.Publisher.
func (p *publisher) Publish(ctx context.Context, m *inbox.Message) error {
	err := p.publish(ctx, m)
	if err != nil {
		p.renew()
	}
	return err
}

func (p *publisher) publish(ctx context.Context, m *inbox.Message) error {
	partition, err := p.partition(ctx)
	if err != nil {
		return p.failed(err, len(m.Body))
	}
	record := kafkago.Record{Value: kafkago.NewBytes(m.Body)}
	if m.ID != "" {
		record.Headers = append(record.Headers, kafkago.Header{Key: "driftmesh-x-id", Value: []byte(m.ID)})
	}
	for name, value := range m.Headers {
		record.Headers = append(record.Headers, kafkago.Header{Key: name, Value: []byte(value)})
	}
	answer, err := p.client.Produce(ctx, &kafkago.ProduceRequest{
		Topic: p.topic, Partition: partition, RequiredAcks: kafkago.RequireAll, Compression: p.compression,
		Records: kafkago.NewRecordReader(record),
	})
	if err == nil {
		err = answer.Error
	}
	if err == nil {
		return nil
	}
	return p.failed(err, len(m.Body))
}

// partition is the next one. The transport knows them, and asks when it does not.
func (p *publisher) partition(ctx context.Context) (int, error) {
	known, err := p.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{p.topic}})
	if err != nil {
		return 0, err
	}
	if len(known.Topics) == 0 {
		return 0, kafkago.UnknownTopicOrPartition
	}
	t := known.Topics[0]
	if t.Error != nil {
		return 0, t.Error
	}
	if len(t.Partitions) == 0 {
		return 0, kafkago.LeaderNotAvailable
	}
	return t.Partitions[p.turn.Add(1)%uint64(len(t.Partitions))].ID, nil
}

// renew has the transport connect and ask for the topic anew: after an error what
// it knows may be old, and it would believe that for a while.
func (p *publisher) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.renewed) > renewEvery {
		p.renewed = time.Now()
		p.transport.CloseIdleConnections()
	}
}

var (
	deniedCodes = []kafkago.Error{
		kafkago.TopicAuthorizationFailed, kafkago.ClusterAuthorizationFailed, kafkago.BrokerAuthorizationFailed,
	}
	loginCodes   = []kafkago.Error{kafkago.SASLAuthenticationFailed, kafkago.UnsupportedSASLMechanism, kafkago.IllegalSASLState}
	sizeCodes    = []kafkago.Error{kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge, kafkago.InvalidMessageSize}
	missingCodes = []kafkago.Error{kafkago.UnknownTopicOrPartition, kafkago.UnknownTopicID}
	fullCodes    = []kafkago.Error{kafkago.ThrottlingQuotaExceeded, kafkago.KafkaStorageError}
)

// failed says what an error means for the message.
func (p *publisher) failed(err error, size int) error {
	code, _ := errors.AsType[kafkago.Error](err)
	is := func(codes []kafkago.Error) bool { return slices.Contains(codes, code) }
	switch {
	case is(deniedCodes):
		return inbox.Refused(fmt.Errorf("the user may not publish to %s: %w", p.topic, err))
	case is(loginCodes), inbox.BadCertificate(err):
		return inbox.Refused(fmt.Errorf("check user, password, sasl and certificates of the URL: %w", err))
	case is(sizeCodes):
		return p.smaller(size, err)
	case is(missingCodes), errors.Is(err, protocol.ErrNoTopic):
		return fmt.Errorf("there is no topic %s: is the mesh there, and is its prefix the one of this URL? %w", p.topic, err)
	case is(fullCodes):
		return inbox.Full(err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return inbox.Unknown(fmt.Errorf("the server hung up (it may want TLS or a user): %w", err))
	}
	return err
}

// smaller learns from a refusal that the topic's limit is below what we took it
// for. Which it is a producer may not ask.
func (p *publisher) smaller(size int, err error) error {
	if size/2 < leastLimit {
		return &sdk.TransportError{Permanent: true, Cause: err}
	}
	for {
		old := p.limit.Load()
		if old <= int64(size/2) || p.limit.CompareAndSwap(old, int64(size/2)) {
			break
		}
	}
	return &sdk.TransportError{Permanent: true, Cause: fmt.Errorf("%w: from now on batches are at most %d bytes; say max-message-bytes in the URL", err, p.limit.Load())}
}

// MaxBytes implements inbox.Publisher.
func (p *publisher) MaxBytes() int { return int(p.limit.Load()) }

// Close implements inbox.Publisher.
func (p *publisher) Close() error {
	p.transport.CloseIdleConnections()
	p.sockets.close()
	return nil
}
