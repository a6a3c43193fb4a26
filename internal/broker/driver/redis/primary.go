package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// seekEvery is how often it is asked which server is the primary, where that
// can change: for so long may two processes write to different ones.
const seekEvery = time.Second

// primary is a server that may be written to.
type primary struct {
	addr string
	id   string // of its history; its replicas have the same
	from string // the id before, when it was promoted
}

// seeker finds the primary among the hosts of a URL.
type seeker struct {
	target target
	asks   []*goredis.Client // one for each host
}

// newSeeker asks with clients that options makes for an address. There is
// nothing to find where there is one host, or a cluster, which tells by itself.
func newSeeker(t target, options func(addr string) *goredis.Options) *seeker {
	s := &seeker{target: t}
	if !s.needed() {
		return s
	}
	for _, addr := range t.addrs {
		o := options(addr)
		o.PoolSize, o.ReadTimeout, o.WriteTimeout = 2, askTimeout, askTimeout
		if t.layout == sentinels {
			o.Username, o.Password, o.DB = t.sentinelUser, t.sentinelPassword, 0
		}
		s.asks = append(s.asks, goredis.NewClient(o))
	}
	return s
}

func (s *seeker) needed() bool {
	return s.target.layout == sentinels || s.target.layout == servers && len(s.target.addrs) > 1
}

// seek asks all hosts at once. last is what was found before.
func (s *seeker) seek(ctx context.Context, last primary) (primary, error) {
	if !s.needed() {
		return primary{addr: s.target.addrs[0]}, nil
	}
	if s.target.layout == sentinels {
		return s.elected(ctx)
	}
	views := make([]view, len(s.asks))
	s.each(func(i int) { views[i] = look(ctx, s.asks[i], s.target.addrs[i]) })
	return choose(views, last)
}

func (s *seeker) each(ask func(i int)) {
	var asking sync.WaitGroup
	for i := range s.asks {
		asking.Go(func() { ask(i) })
	}
	asking.Wait()
}

func (s *seeker) close() {
	for _, c := range s.asks {
		_ = c.Close() // nothing was written
	}
}

// seek finds the primary. When it is another than before, the connections to
// that end: it may not know yet that it is none.
func (l *link) seek(ctx context.Context) error {
	if l.target.layout == cluster {
		return nil
	}
	l.seeking.Lock() // or an older answer may come later
	defer l.seeking.Unlock()
	l.mu.Lock()
	last := l.primary
	l.mu.Unlock()
	found, err := l.seeker.seek(ctx, last)
	if err != nil {
		return err
	}
	var old []net.Conn
	l.mu.Lock()
	l.primary = found
	for c, addr := range l.sockets {
		if addr == last.addr && addr != found.addr {
			old = append(old, c)
		}
	}
	l.mu.Unlock()
	if last.addr != "" && found.addr != last.addr {
		l.log.Warn("broker has another primary", "before", last.addr, "now", found.addr)
	}
	for _, c := range old {
		_ = c.Close() // takes mu
	}
	return nil
}

// at is the address of the primary.
func (l *link) at() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.primary.addr
}

// follow asks again and again who is the primary, because the old one may come
// back and not know that it is none. Nobody who could tell being there is no
// news, unless the primary is away too, which others will notice.
func (l *link) follow() {
	tick := time.NewTicker(seekEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
		if l.gone() != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(l.ctx, dialTimeout+askTimeout)
		err := l.seek(ctx)
		cancel()
		if _, split := errors.AsType[splitError](err); split {
			l.down(err)
		}
	}
}

// view is what a host says about itself.
type view struct {
	primary
	writable bool
	err      error
}

func look(ctx context.Context, c *goredis.Client, addr string) view {
	v := view{primary: primary{addr: addr}}
	info, err := c.InfoMap(ctx, "replication").Result()
	if err != nil {
		v.err = fmt.Errorf("%s: %w", addr, classify(err))
		return v
	}
	r := info["Replication"]
	v.writable, v.id, v.from = r["role"] == "master", r["master_replid"], r["master_replid2"]
	return v
}

// choose finds the primary in what the hosts say. Two servers that both take
// writes are two histories, of which one will be thrown away, so it refuses to
// guess: of two primaries it takes the one that was promoted from the other, or
// else the one that more hosts follow. Nor does it go from one server to another
// that does not go on with its history, unless every host has been heard.
func choose(views []view, last primary) (primary, error) {
	var found []primary
	var errs []error
	follow := map[string]int{}
	for _, v := range views {
		switch {
		case v.err != nil:
			errs = append(errs, v.err)
			continue
		case v.writable:
			found = append(found, v.primary)
		}
		follow[v.id]++
	}
	if len(found) == 0 {
		return primary{}, fmt.Errorf("%w: none of the hosts is a primary: %w", broker.ErrUnavailable, errors.Join(errs...))
	}
	found = slices.DeleteFunc(found, func(p primary) bool {
		return slices.ContainsFunc(found, func(o primary) bool { return o.from == p.id && o.addr != p.addr })
	})
	slices.SortStableFunc(found, func(a, b primary) int { return follow[b.id] - follow[a.id] })
	if len(found) != 1 && (len(found) == 0 || follow[found[0].id] == follow[found[1].id]) {
		return primary{}, fmt.Errorf("%w: %w", broker.ErrUnavailable, splitError(found))
	}
	p := found[0]
	heir := last.addr == "" || last.addr == p.addr || last.id == p.id || last.id == p.from
	if !heir && errs != nil {
		return primary{}, fmt.Errorf("%w: %s is a primary, but does not go on where %s was, and not every host answers: %w",
			broker.ErrUnavailable, p.addr, last.addr, errors.Join(errs...))
	}
	return p, nil
}

// splitError names servers that all take writes.
type splitError []primary

func (e splitError) Error() string {
	addrs := make([]string, len(e))
	for i, p := range e {
		addrs[i] = p.addr
	}
	return strings.Join(addrs, " and ") + " all say that they are the primary: make one a replica of the other, with REPLICAOF"
}

// elected asks the sentinels, and believes the one that has heard of the latest
// failover.
func (s *seeker) elected(ctx context.Context) (primary, error) {
	type answer struct {
		addr  string
		epoch int64
		err   error
	}
	answers := make([]answer, len(s.asks))
	s.each(func(i int) {
		cmd := goredis.NewMapStringStringCmd(ctx, "sentinel", "master", s.target.master)
		_ = s.asks[i].Process(ctx, cmd) // the command has the error
		m, err := cmd.Result()
		if err != nil {
			answers[i].err = fmt.Errorf("sentinel %s: %w", s.target.addrs[i], classify(err))
			return
		}
		answers[i].addr = net.JoinHostPort(m["ip"], m["port"])
		answers[i].epoch, _ = strconv.ParseInt(m["config-epoch"], 10, 64) // 0: before the first failover
	})
	best, errs := -1, []error(nil)
	for i, a := range answers {
		if a.err != nil {
			errs = append(errs, a.err)
		} else if best < 0 || a.epoch > answers[best].epoch {
			best = i
		}
	}
	if best < 0 {
		return primary{}, fmt.Errorf("no sentinel knows the primary %q: %w", s.target.master, errors.Join(errs...))
	}
	return primary{addr: answers[best].addr}, nil
}
