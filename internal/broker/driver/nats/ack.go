package nats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// Error codes of JetStream that say the stream or the server is full.
const (
	codeInsufficientResources = 10023
	codeStorageExceeded       = 10047
	codeMessageTooLarge       = 10054
	codeStoreFailed           = 10077 // also: maximum bytes or messages reached
)

// full reports whether an error code says that there is no room.
func full(code int) bool {
	return code == codeStoreFailed || code == codeStorageExceeded || code == codeInsufficientResources
}

// outcome reads the answer to a publish. The usual one, {"stream":"…","seq":1},
// is recognised without decoding.
func (p *publisher) outcome(m *nats.Msg, topic string) error {
	if len(m.Data) == 0 {
		return p.unrouted(topic)
	}
	if bytes.HasPrefix(m.Data, []byte(`{"stream":`)) && !bytes.Contains(m.Data, []byte(`"error":`)) {
		p.conn.janitor.topic(topic).use()
		return nil
	}
	var ack struct {
		Error *struct {
			Code        int    `json:"code"`
			ErrCode     int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil || ack.Error == nil {
		return fmt.Errorf("%w: unreadable acknowledgement", broker.ErrUnknownOutcome)
	}
	class := error(broker.ErrUnavailable)
	switch e := ack.Error; {
	case e.ErrCode == codeMessageTooLarge:
		class = broker.ErrTooLarge
	case full(e.ErrCode):
		class = broker.ErrBackpressure
		p.conn.janitor.ask(p.conn.janitor.topic(topic))
	case e.Code == 400:
		class = broker.ErrInvalid
	}
	return fmt.Errorf("%w: %s (%d)", class, ack.Error.Description, ack.Error.ErrCode)
}

// unrouted is the class of "no responders": for a topic that was there, its
// stream may be without a leader for a moment, until the janitor finds that it
// is gone.
func (p *publisher) unrouted(topic string) error {
	t := p.conn.janitor.topic(topic)
	if t.seen.Load() && !t.gone.Load() {
		p.conn.janitor.ask(t)
		return fmt.Errorf("%w: no stream answers for topic %q", broker.ErrUnavailable, topic)
	}
	return fmt.Errorf("topic %q: %w", topic, broker.ErrUnroutable)
}

// sendError classifies an error of PublishMsg, after which nothing was sent.
func sendError(err error) error {
	class := error(broker.ErrUnavailable)
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		class = broker.ErrTooLarge
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		class = broker.ErrClosed
	case errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrHeadersNotSupported):
		class = broker.ErrInvalid
	}
	return fmt.Errorf("%w: %w", class, err)
}
