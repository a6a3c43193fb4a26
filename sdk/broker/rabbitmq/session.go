package rabbitmq

import (
	"math"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/driftmesh/driftmesh/sdk/broker/internal/inbox"
)

// session is a channel in confirm mode. What the broker returns because no queue
// takes it, it confirms all the same; so each batch carries a number, by which it is
// known when it comes back.
type session struct {
	peer    *peer
	ch      *amqp.Channel
	returns chan amqp.Return
	closes  chan *amqp.Error
	number  atomic.Uint64

	mu       sync.Mutex
	returned map[string]struct{}
	why      *amqp.Error // why the broker closed the channel
}

// sent is a batch that waits for its confirm.
type sent struct {
	number  string
	confirm *amqp.DeferredConfirmation
}

func newSession(p *peer) (*session, error) {
	ch, err := p.conn.Channel()
	if err != nil {
		return nil, err
	}
	s := &session{peer: p, ch: ch, returned: map[string]struct{}{}}
	// The library drops what finds no room. Each batch on its way comes back once at
	// the most, and giving one up ends the connection.
	s.returns = ch.NotifyReturn(make(chan amqp.Return, 4*inbox.Flights))
	s.closes = ch.NotifyClose(make(chan *amqp.Error, 1))
	return s, ch.Confirm(false)
}

// usable tells whether it can be published on; nil cannot.
func (s *session) usable() bool { return s != nil && !s.ch.IsClosed() }

// publish sends one batch. It may be called concurrently.
func (s *session) publish(exchange string, m amqp.Publishing) (sent, error) {
	number := strconv.FormatUint(s.number.Add(1), 10)
	m.CorrelationId = number
	confirm, err := s.ch.PublishWithDeferredConfirm(exchange, "", true, false, m)
	return sent{number, confirm}, err
}

// cameBack tells whether a batch that was confirmed was returned. A return precedes
// its confirm, so it is here when the confirm is.
func (s *session) cameBack(number string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		select {
		case r, open := <-s.returns:
			if open {
				s.returned[r.CorrelationId] = struct{}{}
				continue
			}
		default:
		}
		_, back := s.returned[number]
		delete(s.returned, number)
		return back
	}
}

// reason is why the broker closed the channel; nil when it did not, or the
// connection ended.
func (s *session) reason() *amqp.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case err := <-s.closes:
		if err != nil && err.Server {
			s.why = err
		}
	default:
	}
	return s.why
}

var tooLarge = regexp.MustCompile(`larger than (?:configured )?max size (\d+)`)

// noLimit is the limit of a refusal that speaks of none.
const noLimit = math.MaxInt

// sizeLimit is the limit that a refusal names.
func sizeLimit(err *amqp.Error) int {
	m := tooLarge.FindStringSubmatch(err.Reason)
	if m == nil {
		return noLimit
	}
	limit, failed := strconv.Atoi(m[1])
	if failed != nil {
		return noLimit
	}
	return limit
}
