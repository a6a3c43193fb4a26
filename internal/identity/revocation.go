package identity

import (
	"slices"
	"sync"
)

// RevocationKind says what a revocation is about.
type RevocationKind string

// The kinds.
const (
	RevokedKey     RevocationKind = "key"     // what was said of an API key
	RevokedSession RevocationKind = "session" // the tokens of a session
	RevokedUser    RevocationKind = "user"    // the tokens of a user
	RevokedTenant  RevocationKind = "tenant"  // all that was said of a tenant
)

// Revocation says that what auth gave out or said of its subject before Number
// is not to be believed any more.
type Revocation struct {
	// Number is higher than that of every revocation before.
	Number  int64
	Kind    RevocationKind
	Tenant  string
	Subject string // key's id, session's id, user's name; empty for a tenant
}

// maxRevocations bounds what is remembered, at about 150 bytes each.
const maxRevocations = 32768

// Holder is who holds credentials, and since when they are vouched for.
type Holder struct {
	Tenant  string
	Subject string // key's id, user's name
	Kind    Kind
	Session string // empty for none
	// Head is the number of the last revocation that was taken into account when
	// the credentials were given out or checked.
	Head int64
}

// Revocations remembers who is not to be believed any more. What it forgets, for
// there are too many, it lets nobody get away with: then everything that was
// given out before the oldest that it knows counts as revoked. It is safe for
// concurrent use.
type Revocations struct {
	mu      sync.RWMutex
	numbers map[subject]int64
	order   []Revocation // by number
	floor   int64        // of numbers that are forgotten
	head    int64
	known   bool
	watches map[*watch]struct{}
}

// subject is what a revocation is about.
type subject struct {
	kind         RevocationKind
	tenant, name string
}

// NewRevocations makes one that knows of none, and says that it cannot know
// until Heard.
func NewRevocations() *Revocations {
	return &Revocations{numbers: map[subject]int64{}, watches: map[*watch]struct{}{}}
}

// Add takes revocations in, in the order of their numbers.
func (r *Revocations) Add(all ...Revocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range all {
		if one.Number <= r.head {
			continue // heard before
		}
		r.head = one.Number
		r.numbers[one.subject()] = one.Number
		if r.order = append(r.order, one); len(r.order) > maxRevocations {
			r.forget()
		}
		for w := range r.watches {
			if one.about(w.holder) {
				w.check()
			}
		}
	}
}

// forget drops the oldest half.
func (r *Revocations) forget() {
	half := len(r.order) / 2
	for _, old := range r.order[:half] {
		if s := old.subject(); r.numbers[s] == old.Number {
			delete(r.numbers, s)
		}
		r.floor = old.Number
	}
	r.order = slices.Clone(r.order[half:])
}

// Heard says that all revocations up to head are known.
func (r *Revocations) Heard(head int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = true
	r.head = max(r.head, head)
}

// Head is the number of the last revocation known, and whether all up to it are.
func (r *Revocations) Head() (number int64, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.head, r.known
}

// Revoked reports whether credentials are not to be believed any more.
func (r *Revocations) Revoked(h Holder) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if h.Head < r.floor || h.Head < r.numbers[subject{RevokedTenant, h.Tenant, ""}] {
		return true
	}
	switch h.Kind {
	case Key:
		return h.Head < r.numbers[subject{RevokedKey, h.Tenant, h.Subject}]
	case User:
		return h.Head < r.numbers[subject{RevokedUser, h.Tenant, h.Subject}] ||
			h.Session != "" && h.Head < r.numbers[subject{RevokedSession, h.Tenant, h.Session}]
	case Service, Anonymous:
	}
	return false
}

func (r Revocation) subject() subject { return subject{r.Kind, r.Tenant, r.Subject} }

// about reports whether a revocation is about a holder.
func (r Revocation) about(h Holder) bool {
	switch r.Kind {
	case RevokedTenant:
		return r.Tenant == h.Tenant
	case RevokedKey:
		return h.Kind == Key && r.Tenant == h.Tenant && r.Subject == h.Subject
	case RevokedUser:
		return h.Kind == User && r.Tenant == h.Tenant && r.Subject == h.Subject
	case RevokedSession:
		return h.Kind == User && r.Tenant == h.Tenant && r.Subject == h.Session
	}
	return false
}

func (r *Revocations) follow(w *watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watches[w] = struct{}{}
}

func (r *Revocations) unfollow(w *watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.watches, w)
}
