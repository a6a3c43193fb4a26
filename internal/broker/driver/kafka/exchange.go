package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// exchange is one request and its answer that kafka-go can not speak: it knows
// no topic ids, no deletion of records, and reads an answer of a megabyte under
// one deadline and unpacks what is in it without a bound. It lends us its
// connections instead (protocol.RawExchanger): dialled, encrypted, authenticated
// and led to the right broker by it, written and read by us.
type exchange struct {
	req    kmsg.Request
	client string
	// Lead finds the broker to ask; nil is any.
	lead func(protocol.Cluster) (protocol.Broker, error)
	// wait is how long the broker may think, beside requestTimeout.
	wait time.Duration
	// stop ends the reading of an answer that nobody waits for any more.
	stop <-chan struct{}
}

// response is the answer to an exchange.
type response struct{ kmsg.Response }

// ApiKey implements protocol.Message.
func (r response) ApiKey() protocol.ApiKey { return protocol.ApiKey(r.Key()) } //nolint:revive,staticcheck // the name is the interface's

// ApiKey implements protocol.Message.
func (e *exchange) ApiKey() protocol.ApiKey { return protocol.ApiKey(e.req.Key()) } //nolint:revive,staticcheck // the name is the interface's

// Broker implements protocol.BrokerMessage.
func (e *exchange) Broker(c protocol.Cluster) (protocol.Broker, error) {
	if e.lead == nil {
		return protocol.Broker{ID: -1}, nil
	}
	return e.lead(c)
}

// Required implements protocol.RawExchanger.
func (e *exchange) Required(map[protocol.ApiKey]int16) bool { return true }

var (
	_ protocol.BrokerMessage = (*exchange)(nil)
	_ protocol.RawExchanger  = (*exchange)(nil)
)

const (
	exchangeID = 7         // of every exchange: a connection carries one at a time
	answerMost = 256 << 20 // of an answer; a broker's largest batch is far below
	answerStep = 256 << 10 // that must come within requestTimeout
)

// RawExchange implements protocol.RawExchanger.
func (e *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	conn, ok := rw.(net.Conn)
	if !ok {
		return nil, errors.New("the connection has no deadlines")
	}
	if err := conn.SetDeadline(time.Now().Add(e.wait + requestTimeout)); err != nil {
		return nil, err
	}
	out := kmsg.NewRequestFormatter(kmsg.FormatterClientID(e.client)).AppendRequest(nil, e.req, exchangeID)
	if _, err := conn.Write(out); err != nil {
		return nil, err
	}
	body, err := e.read(conn)
	if err != nil {
		return nil, err
	}
	res := e.req.ResponseKind()
	if body, err = cutHeader(body, res); err != nil {
		return nil, err
	}
	if err := res.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return response{res}, nil
}

// read reads an answer. Its deadline is one of progress: over a slow link, with
// others reading beside it, an answer may take long as long as it comes.
func (e *exchange) read(conn net.Conn) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > answerMost {
		return nil, fmt.Errorf("an answer of %d bytes", size)
	}
	body := make([]byte, size)
	for n := 0; n < len(body); {
		select {
		case <-e.stop:
			return nil, context.Canceled
		default:
		}
		if err := conn.SetReadDeadline(time.Now().Add(requestTimeout)); err != nil {
			return nil, err
		}
		m, err := conn.Read(body[n:min(n+answerStep, len(body))])
		if n += m; err != nil {
			return nil, err
		}
	}
	return body, nil
}

// cutHeader checks and cuts off the header of an answer.
func cutHeader(body []byte, res kmsg.Response) ([]byte, error) {
	if len(body) < 4 || binary.BigEndian.Uint32(body) != exchangeID {
		return nil, errors.New("the answer is not to our question")
	}
	body = body[4:]
	if !res.IsFlexible() || res.Key() == int16(protocol.ApiVersions) {
		return body, nil
	}
	if len(body) == 0 || body[0] != 0 { // tags, of which there are none
		return nil, errors.New("the answer's header is not known")
	}
	return body[1:], nil
}

// exchange asks the cluster, or the leader that lead finds.
func (c *conn) exchange(ctx context.Context, p *pool, e *exchange) (kmsg.Response, error) {
	e.client, e.stop = c.cfg.Name, ctx.Done()
	res, err := p.transport.RoundTrip(ctx, p.Addr, e)
	if err != nil {
		return nil, err
	}
	return res.(response).Response, nil //nolint:forcetypeassert // RawExchange returns nothing else
}

// leader routes to the leader of a partition.
func leader(topic string, lane int) func(protocol.Cluster) (protocol.Broker, error) {
	return func(c protocol.Cluster) (b protocol.Broker, err error) {
		t, ok := c.Topics[topic]
		if !ok {
			return b, protocol.NewErrNoTopic(topic)
		}
		p, ok := t.Partitions[int32(lane)] //nolint:gosec // a partition's number
		if !ok {
			return b, protocol.NewErrNoPartition(topic, int32(lane)) //nolint:gosec // a partition's number
		}
		if b, ok = c.Brokers[p.Leader]; !ok {
			return b, protocol.NewErrNoLeader(topic, p.ID)
		}
		return b, nil
	}
}

// code is the error of a code, nil for none.
func code(n int16) error {
	if n == 0 {
		return nil
	}
	return kafkago.Error(n)
}
