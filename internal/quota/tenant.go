package quota

import (
	"fmt"
	"iter"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Tenant is what one tenant may use and uses in this process. It is safe for
// concurrent use.
type Tenant struct {
	name   string
	limits atomic.Pointer[Limits]

	rate, items, changes Bucket
	// Memory is its share of the memory for requests and tails, Places of the
	// requests answered at a time, Bodies of the memory in which theirs wait.
	Memory, Places, Bodies Share
	// Tails is how many it has open.
	Tails Share

	kept    atomic.Int64 // bytes, as told last
	backlog [topics]Share
	sent    [topics]atomic.Int64 // bytes published, ever
	refused [names]atomic.Int64
	turned  [topics][names]atomic.Int64
	shown   atomic.Bool // under its name in metrics
}

// Name is the tenant's name.
func (t *Tenant) Name() string { return t.name }

// Limits are what it may use now.
func (t *Tenant) Limits() *Limits { return t.limits.Load() }

// Enter tells whether the tenant may send something now. It is asked before
// anything is read. The refusal names the limit.
func (t *Tenant) Enter(now time.Time) error {
	l := t.Limits()
	if wait := t.rate.Wait(now, l[IngestRate], l[IngestBurst]); wait > 0 {
		return t.overRate(IngestRate, wait)
	}
	if wait := t.items.Wait(now, l[IngestItems], l[IngestItemsBurst]); wait > 0 {
		return t.overRate(IngestItems, wait)
	}
	if kept := t.kept.Load(); l[Retained] > 0 && kept >= l[Retained] {
		return t.Refuse(Retained, fmt.Sprintf("%s are kept, and nothing more fits until the oldest of it is forgotten", Retained.Format(kept)), retainedWait)
	}
	return nil
}

// retainedWait is how soon it is worth asking again whether more may be kept.
const retainedWait = time.Minute

func (t *Tenant) overRate(name Name, wait time.Duration) error {
	return t.Refuse(name, fmt.Sprintf("it is used up, and more fits in %s", wait.Round(time.Millisecond)), wait)
}

// How much a tenant may change in the long run and at once: each change is an entry of
// the account of who did what, which is never trimmed.
const changeRate, changeBurst = 20, 1000

// Change counts something that the tenant changes, or gives fault.Exhausted.
func (t *Tenant) Change(now time.Time) error {
	if wait := t.changes.Wait(now, changeRate, changeBurst); wait > 0 {
		return fault.Exhausted.New("the tenant %s changes too much at a time: %d changes a second are taken down in the long run", t.name, changeRate).
			WithReason("CHANGES_THROTTLED").WithRetryAfter(max(wait, minWait))
	}
	t.changes.Charge(now, 1, changeRate)
	return nil
}

// Charge counts what the tenant has sent.
func (t *Tenant) Charge(now time.Time, bytes, items int) {
	l := t.Limits()
	t.rate.Charge(now, int64(bytes), l[IngestRate])
	t.items.Charge(now, int64(items), l[IngestItems])
	if l[Retained] > 0 {
		t.kept.Add(int64(bytes)) // until it is told anew
	}
	if !t.shown.Load() {
		t.shown.Store(true)
	}
}

// Refund takes back what was charged for something that was not kept after all.
func (t *Tenant) Refund(bytes, items int) {
	l := t.Limits()
	t.rate.refund(int64(bytes), l[IngestRate])
	t.items.refund(int64(items), l[IngestItems])
	if l[Retained] > 0 {
		t.kept.Add(-int64(bytes))
	}
}

// Book has all tenants of this process. Make it with NewBook; it is safe for
// concurrent use.
type Book struct {
	mu       sync.Mutex // of whoever changes
	defaults Limits
	own      map[string]Own
	head     int64
	tenants  atomic.Pointer[map[string]*Tenant] // not written to
}

// NewBook makes a book of tenants that all have the same limits, until it hears of
// others.
func NewBook(defaults Limits) *Book {
	b := &Book{defaults: defaults, own: map[string]Own{}}
	b.tenants.Store(&map[string]*Tenant{})
	return b
}

// Of gives a tenant. There is one for each name that was ever asked for: the name
// must be that of a caller who is known.
func (b *Book) Of(name string) *Tenant {
	if t := (*b.tenants.Load())[name]; t != nil {
		return t
	}
	return b.add(name)
}

func (b *Book) add(name string) *Tenant {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := *b.tenants.Load()
	if t := all[name]; t != nil {
		return t
	}
	t := &Tenant{name: name}
	b.set(t)
	all = maps.Clone(all)
	all[name] = t
	b.tenants.Store(&all)
	return t
}

func (b *Book) set(t *Tenant) {
	l := b.defaults.With(b.own[t.name])
	before := t.limits.Swap(&l)
	if before == nil {
		return
	}
	if before[IngestRate] != l[IngestRate] {
		t.rate.Forget()
	}
	if before[IngestItems] != l[IngestItems] {
		t.items.Forget()
	}
}

// all are the tenants there are.
func (b *Book) all() map[string]*Tenant { return *b.tenants.Load() }

// All are the tenants that were asked for, in no order.
func (b *Book) All() iter.Seq[*Tenant] { return maps.Values(b.all()) }

// Limited reports whether anybody has a limit of that name.
func (b *Book) Limited(name Name) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.defaults[name] > 0 {
		return true
	}
	for _, own := range b.own {
		if own[name] > 0 {
			return true
		}
	}
	return false
}

// Kept tells how many bytes are kept of each tenant; of those that are not named,
// none.
func (b *Book) Kept(bytes map[string]int64) {
	for name, t := range b.all() {
		t.kept.Store(bytes[name])
	}
	for name, n := range bytes {
		if t := b.all()[name]; t == nil && n > 0 {
			b.Of(name).kept.Store(n)
		}
	}
}

// Change is what a process hears of limits.
type Change struct {
	Defaults Limits
	// Own are those of tenants whose own limits changed.
	Own map[string]Own
	// Head numbers the last change that is known with this one.
	Head int64
}

// Hear takes a change in. All that comes after keeps to it.
func (b *Book) Hear(c Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.head = c.Head
	if c.Defaults == b.defaults && len(c.Own) == 0 {
		return
	}
	b.defaults = c.Defaults
	for name, own := range c.Own {
		if len(own) == 0 {
			delete(b.own, name)
			continue
		}
		b.own[name] = own
	}
	for _, t := range b.all() {
		b.set(t)
	}
}
