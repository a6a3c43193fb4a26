package rabbitmq

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// emptiness is when a queue was last seen with nothing pending, which is as far
// back as what is pending now can reach.
type emptiness struct{ at time.Time }

// Lag implements broker.Admin. The broker tells at once how many messages are
// ready, but not what workers hold. Our own workers tell that; about others the
// management API does, some seconds late.
func (a admin) Lag(ctx context.Context, topic, group string) (broker.Lag, error) {
	lag, err := a.lag(ctx, topic, group)
	if err != nil {
		return broker.Lag{}, fmt.Errorf("lag of group %q of topic %q: %w", group, topic, err)
	}
	return lag, nil
}

func (a admin) lag(ctx context.Context, topic, group string) (broker.Lag, error) {
	p, err := a.peer()
	if err != nil {
		return broker.Lag{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	name := a.queue(topic, group)
	before := a.holding(topic, group)
	q, err := a.length(ctx, p, name)
	if err != nil {
		return broker.Lag{}, err
	}
	own := a.holding(topic, group)
	lag := broker.Lag{Pending: int64(q.Messages + own.waiting), InFlight: int64(own.inFlight)}
	alone := q.Consumers >= own.workers && q.Consumers <= own.workers+own.leaving
	lag.Known = alone && own == before // else it changed meanwhile
	if q.Consumers > own.workers && a.http != nil {
		if unacked, ok := a.unacked(ctx, name); ok {
			lag.InFlight = int64(max(unacked-own.waiting, own.inFlight))
			lag.Known = true
		}
	}
	lag.Oldest = a.oldest(name, lag)
	return lag, nil
}

// oldest is an upper bound of the age of what is pending.
func (a admin) oldest(queue string, lag broker.Lag) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if lag.Total() == 0 {
		a.empty[queue] = emptiness{at: now}
		return 0
	}
	if e, ok := a.empty[queue]; ok {
		return now.Sub(e.at)
	}
	return 0
}

// holding is what the workers of this connection hold of a queue.
type holding struct{ workers, leaving, waiting, inFlight int }

func (c *conn) holding(topic, group string) holding {
	var h holding
	for _, o := range c.children.All() {
		k, ok := o.(*consumer)
		if !ok || k.cfg.Topic != topic || k.cfg.Group != group {
			continue
		}
		k.mu.Lock()
		if k.session != nil {
			workers, leaving := k.session.consumers()
			h.workers += workers
			h.leaving += leaving
		}
		h.waiting += len(k.buffer) + k.held
		h.inFlight += k.inFlight
		k.mu.Unlock()
	}
	return h
}

const manageTimeout = 2 * time.Second

// manager is the client of the management API.
func manager(secure *tls.Config) *http.Client {
	return &http.Client{Timeout: manageTimeout, Transport: &http.Transport{TLSClientConfig: secure.Clone(), MaxIdleConns: 2}}
}

// unacked is how many messages of a queue workers hold, from the management
// API; not ok when it does not answer or does not know yet.
func (c *conn) unacked(ctx context.Context, queue string) (n int, ok bool) {
	u := c.target.manage.JoinPath("api", "queues", url.PathEscape(c.target.vhost), url.PathEscape(queue))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return 0, false
	}
	if c.target.manage.User == nil {
		req.SetBasicAuth(c.target.user, c.target.password)
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.cfg.Log.Warn("management API does not answer", "host", c.target.manage.Host, "err", err)
		return 0, false
	}
	defer res.Body.Close()
	var q struct {
		Unacked *int `json:"messages_unacknowledged"`
	}
	if res.StatusCode != http.StatusOK {
		c.cfg.Log.Warn("management API refuses", "host", c.target.manage.Host, "status", res.StatusCode)
		return 0, false
	}
	if err := json.NewDecoder(res.Body).Decode(&q); err != nil || q.Unacked == nil {
		return 0, false
	}
	return *q.Unacked, true
}
