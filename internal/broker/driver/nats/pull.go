package nats

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const (
	pullExpires   = 30 * time.Second       // of the wait for a first message
	pullHeartbeat = 2 * time.Second        // two missed ones: ask again
	pullGrace     = 100 * time.Millisecond // beyond the linger, for the server's own end of the pull
	statusHeader  = "Status"
	descrHeader   = "Description"
)

// request is a pull; the server ends it at the first limit.
type request struct {
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes,omitempty"`
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
}

// pull sends a request and returns the subject its answers come to.
func (k *consumer) pull(r request) (subject string, err error) {
	k.pulls++
	subject = k.inbox + strconv.FormatUint(k.pulls, 36)
	body, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	api := "$JS.API.CONSUMER.MSG.NEXT." + k.stream + "." + k.cfg.Group
	return subject, k.link.nc.PublishRequest(api, subject, body)
}

// first waits for one message, asking as often as it takes.
func (k *consumer) first(ctx context.Context) error {
	for wait := backoff(0); len(k.carry) == 0; {
		connected, changed := k.link.state()
		if !connected {
			if err := k.pause(ctx, time.Minute); err != nil {
				return err
			}
			continue
		}
		subject, err := k.pull(request{Batch: 1, Expires: pullExpires, Heartbeat: pullHeartbeat})
		end := endOther
		if err == nil {
			if end, err = k.await(ctx, subject, changed); err != nil {
				return err
			}
		}
		switch end {
		case endMessage, endExpired, endFull, endChanged:
			wait = 0
		case endGone:
			k.forget()
			return k.pause(ctx, wait.duration())
		default:
			if err := k.pause(ctx, wait.duration()); err != nil {
				return err
			}
			wait = wait.next()
		}
	}
	return nil
}

// end is how a pull ended.
type end int

const (
	endOther   end = iota // refused for now
	endMessage            // it brought a message
	endExpired            // time is used up
	endFull               // room is used up
	endChanged            // the connection changed
	endGone               // the group does not exist (any more)
)

// await reads until the pull on subject ends.
func (k *consumer) await(ctx context.Context, subject string, changed <-chan struct{}) (end, error) {
	miss := time.NewTimer(2*pullHeartbeat + pullHeartbeat/2)
	defer miss.Stop()
	for {
		select {
		case m := <-k.in:
			status := m.Header.Get(statusHeader)
			if !isStatus(m, status) {
				k.carry, k.since = append(k.carry, m), time.Now()
				return endMessage, nil
			}
			if m.Subject != subject {
				continue
			}
			if status != "100" {
				return ended(status, m.Header.Get(descrHeader)), nil
			}
			miss.Reset(2*pullHeartbeat + pullHeartbeat/2)
		case <-miss.C:
			return endExpired, nil
		case <-k.deleted:
			return endGone, nil
		case <-changed:
			return endChanged, nil
		case <-ctx.Done():
			return endOther, ctx.Err()
		case <-k.closing:
			return endOther, broker.ErrClosed
		}
	}
}

// isStatus tells the server's words about a pull from a message, which always
// has a subject to acknowledge it on.
func isStatus(m *nats.Msg, status string) bool {
	return status != "" && len(m.Data) == 0 && m.Reply == ""
}

func ended(status, description string) end {
	switch status {
	case "404", "408":
		return endExpired
	case "503":
		return endGone
	case "409":
		switch description {
		case "Consumer Deleted":
			return endGone
		case "Message Size Exceeds MaxBytes", "Batch Completed":
			return endFull
		}
	}
	return endOther
}

// pullSlice is how many bytes one pull asks for: the server queues in its
// memory what a pull may have, so a large batch is pulled in several.
const pullSlice = 4 << 20

// rest adds messages to carry until the batch is full or the linger is over.
func (k *consumer) rest(ctx context.Context) error {
	n, size := k.cfg.MaxMessages-len(k.carry), k.cfg.MaxBytes
	for _, m := range k.carry {
		size -= m.Size()
	}
	over := time.NewTimer(k.cfg.Linger + pullGrace)
	defer over.Stop()
	deadline := time.Now().Add(k.cfg.Linger)
	for slice := pullSlice; n > 0 && size > 0; {
		left := time.Until(deadline)
		if left < time.Millisecond {
			return nil
		}
		subject, err := k.pull(request{Batch: n, MaxBytes: min(size, slice), Expires: left})
		if err != nil {
			return nil // what we have is a batch
		}
		before := len(k.carry)
		end, err := k.slice(ctx, subject, n, over.C)
		if err != nil || end != endFull {
			return err
		}
		for _, m := range k.carry[before:] {
			size -= m.Size()
		}
		n -= len(k.carry) - before
		if len(k.carry) == before {
			if slice >= size {
				return nil // the next message does not fit into this batch
			}
			slice = size // nor does it into a slice
		}
	}
	return nil
}

// slice adds what one pull brings, at most n messages, to carry. It returns
// endFull when the pull ended because it had all it may have.
func (k *consumer) slice(ctx context.Context, subject string, n int, over <-chan time.Time) (end, error) {
	_, changed := k.link.state()
	for n > 0 {
		select {
		case m := <-k.in:
			status := m.Header.Get(statusHeader)
			if !isStatus(m, status) {
				k.carry = append(k.carry, m)
				n--
			} else if m.Subject == subject && status != "100" {
				return ended(status, m.Header.Get(descrHeader)), nil
			}
		case <-over:
			return endOther, nil
		case <-k.deleted:
			k.forget()
			return endGone, nil
		case <-changed:
			return endChanged, nil
		case <-ctx.Done():
			return endOther, ctx.Err()
		case <-k.closing:
			return endOther, broker.ErrClosed
		}
	}
	return endFull, nil
}
