package embedded

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded/chdb"
	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
)

// pool lends sessions of the engine. A session is for one statement at a time;
// opening one costs 0.2 ms, so idle ones are kept and lent again to requests
// with the same database and settings.
type pool struct {
	library *chdb.Library
	args    []string
	keep    int // idle sessions kept

	mu   sync.Mutex
	idle []*session // least recently used first
}

// session is a connection with the settings it was given.
type session struct {
	*chdb.Conn
	key string
}

// setup is the state a request wants its session in.
type setup struct {
	database string
	role     string // "" is all that the user may do
	settings map[string]string
}

// key tells setups apart.
func (s setup) key() string {
	var b strings.Builder
	b.WriteString(s.database + "\x00" + s.role)
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		fmt.Fprintf(&b, "\x00%s=%s", name, s.settings[name])
	}
	return b.String()
}

// statements bring a fresh session into the state. Once it is readonly nothing
// of it can be changed, so that comes last.
func (s setup) statements() []string {
	const readonly = "readonly"
	var out, parts []string
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		if name != readonly {
			parts = append(parts, sqltext.Identifier(name)+" = "+sqltext.Quote(s.settings[name]))
		}
	}
	if len(parts) > 0 {
		out = append(out, "SET "+strings.Join(parts, ", "))
	}
	if s.database != "" {
		out = append(out, "USE "+sqltext.Identifier(s.database))
	}
	if s.role != "" {
		out = append(out, "SET ROLE "+sqltext.Identifier(s.role))
	}
	if value, ok := s.settings[readonly]; ok {
		out = append(out, "SET readonly = "+sqltext.Quote(value))
	}
	return out
}

// borrow returns a session in the wanted state. It must be given back.
func (p *pool) borrow(want setup) (*session, error) {
	key := want.key()
	if s := p.takeIdle(key); s != nil {
		return s, nil
	}
	conn, err := p.library.Connect(p.args...)
	if err != nil {
		return nil, refuse(codeUnknownException, "CANNOT_CONNECT", "open an engine session: %v", err)
	}
	for _, sql := range want.statements() {
		if _, _, err := conn.Query(sql, "Null", nil); err != nil {
			conn.Close()
			return nil, engineError(err)
		}
	}
	return &session{Conn: conn, key: key}, nil
}

func (p *pool) takeIdle(key string) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if s := p.idle[i]; s.key == key {
			p.idle = slices.Delete(p.idle, i, i+1)
			return s
		}
	}
	return nil
}

// giveBack takes a session back; one that is not clean (changed by its
// statement, or left in the middle of one) is closed.
func (p *pool) giveBack(s *session, clean bool) {
	if !clean {
		s.Close()
		return
	}
	p.mu.Lock()
	p.idle = append(p.idle, s)
	var extra *session
	if len(p.idle) > p.keep {
		extra = p.idle[0]
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	p.mu.Unlock()
	if extra != nil {
		extra.Close()
	}
}

// close closes the idle sessions.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.idle {
		s.Close()
	}
	p.idle = nil
}

// lane admits so many statements at once and lets so many more wait.
type lane struct {
	slots   chan struct{}
	queue   int64
	waiting atomic.Int64
}

func newLane(slots, queue int) *lane {
	return &lane{slots: make(chan struct{}, slots), queue: int64(queue)}
}

// enter waits for a slot; leave must follow a nil error.
func (l *lane) enter(ctx context.Context) error {
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	if l.waiting.Add(1) > l.queue {
		l.waiting.Add(-1)
		return refuse(codeTooManyQueries, "TOO_MANY_SIMULTANEOUS_QUERIES", "%d statements run and %d wait already", cap(l.slots), l.queue)
	}
	defer l.waiting.Add(-1)
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return refuse(codeQueryCancelled, "QUERY_WAS_CANCELLED", "the client went away before the statement began")
	}
}

func (l *lane) leave() { <-l.slots }
