package door

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/driftmesh/driftmesh/services/gateway/internal/ledger"
)

// Counters counts what arrived at the door, per tenant and signal, since the
// process started. Make it with NewCounters. It is safe for concurrent use.
//
// Count what a caller was told: accepted when it is durable and is about to be
// acknowledged, rejected when the answer names it as rejected. A call that is
// answered with "try again" counts nothing, as it comes back.
type Counters struct {
	instance string

	mu       sync.RWMutex
	accounts map[key]*account
}

var _ ledger.Doors = (*Counters)(nil)

type key struct{ tenant, signal string }

type account struct {
	accepted atomic.Uint64

	mu       sync.Mutex
	rejected map[string]uint64
}

// NewCounters makes counters for the process named instance.
func NewCounters(instance string) *Counters {
	return &Counters{instance: instance, accounts: map[key]*account{}}
}

// Instance names the process.
func (c *Counters) Instance() string { return c.instance }

// Accept counts n spans or records as accepted.
func (c *Counters) Accept(tenant, signal string, n int) {
	if n > 0 {
		c.account(key{tenant, signal}).accepted.Add(uint64(n))
	}
}

// Reject counts n spans or records as rejected for a reason, which must come
// from a closed set.
func (c *Counters) Reject(tenant, signal, reason string, n int) {
	if n <= 0 {
		return
	}
	a := c.account(key{tenant, signal})
	a.mu.Lock()
	a.rejected[reason] += uint64(n)
	a.mu.Unlock()
}

func (c *Counters) account(k key) *account {
	c.mu.RLock()
	a := c.accounts[k]
	c.mu.RUnlock()
	if a != nil {
		return a
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a = c.accounts[k]; a == nil {
		a = &account{rejected: map[string]uint64{}}
		c.accounts[k] = a
	}
	return a
}

// Count is what was counted for one tenant and signal.
type Count struct {
	Tenant, Signal string
	Accepted       uint64            // the good ones
	Rejected       map[string]uint64 // by reason
}

// Snapshot returns all counts, in no order. The maps belong to the caller.
func (c *Counters) Snapshot() []Count {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]Count, 0, len(c.accounts))
	for k, a := range c.accounts {
		all = append(all, a.count(k))
	}
	return all
}

func (a *account) count(k key) Count {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Count{Tenant: k.tenant, Signal: k.signal, Accepted: a.accepted.Load(), Rejected: maps.Clone(a.rejected)}
}

// Door implements ledger.Doors.
func (c *Counters) Door(tenant, signal string) ledger.Door {
	c.mu.RLock()
	a := c.accounts[key{tenant, signal}]
	c.mu.RUnlock()
	d := ledger.Door{Instance: c.instance, Rejected: map[string]uint64{}}
	if a == nil {
		return d
	}
	n := a.count(key{tenant, signal})
	d.Accepted, d.Rejected = n.Accepted, n.Rejected
	for _, rejected := range n.Rejected {
		d.Accepted += rejected
	}
	return d
}
