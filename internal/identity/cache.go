package identity

import (
	"container/list"
	"sync"
	"time"
)

// cache is a bounded map whose entries end. When full it forgets the entry
// used longest ago. It is safe for concurrent use.
type cache[K comparable, V any] struct {
	limit int

	mu      sync.Mutex
	entries map[K]*list.Element // of *cached[K, V]
	recent  *list.List          // most recently used in front
}

type cached[K comparable, V any] struct {
	key   K
	value V
	ends  time.Time
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{limit: limit, entries: make(map[K]*list.Element), recent: list.New()}
}

// get returns the value of key unless it has ended by now.
func (c *cache[K, V]) get(key K, now time.Time) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var none V
	e, ok := c.entries[key]
	if !ok {
		return none, false
	}
	entry := e.Value.(*cached[K, V])
	if !now.Before(entry.ends) {
		c.drop(e)
		return none, false
	}
	c.recent.MoveToFront(e)
	return entry.value, true
}

// put keeps value under key until ends.
func (c *cache[K, V]) put(key K, value V, ends time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		*e.Value.(*cached[K, V]) = cached[K, V]{key, value, ends}
		c.recent.MoveToFront(e)
		return
	}
	if len(c.entries) >= c.limit {
		c.drop(c.recent.Back())
	}
	c.entries[key] = c.recent.PushFront(&cached[K, V]{key, value, ends})
}

func (c *cache[K, V]) drop(e *list.Element) {
	delete(c.entries, e.Value.(*cached[K, V]).key)
	c.recent.Remove(e)
}

func (c *cache[K, V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}
