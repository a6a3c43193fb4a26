package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftmesh/driftmesh/internal/broker"
)

const (
	janitorEvery = time.Second
	// janitorPause is the least between two looks that somebody asked for.
	janitorPause = 100 * time.Millisecond
)

// janitor makes room. A stream refuses what does not fit, read or not, so that
// nobody's message is lost whoever publishes; in return somebody must remove
// what every group has acknowledged. Each process does so for the topics it
// uses: to remove what another one has removed already does nothing, and while
// none runs, a stream fills up and refuses.
//
// It also is who notices that a stream was deleted.
type janitor struct {
	conn   *conn
	topics sync.Map      // name → *knownTopic
	asked  chan struct{} // somebody asked for a look; capacity 1
	cancel context.CancelFunc
	done   chan struct{}
}

// knownTopic is what a connection knows about a topic.
type knownTopic struct {
	used  atomic.Bool // published to or consumed: it is looked after
	seen  atomic.Bool // it has been there
	gone  atomic.Bool // when last looked at, it was not
	asked atomic.Bool // for a look

	forget atomic.Bool // what is acknowledged goes at once

	// Used by run only, so that each is said once.
	drops  bool // its stream drops what is not acknowledged
	failed bool // no room could be made
}

func newJanitor(c *conn) *janitor {
	ctx, cancel := context.WithCancel(context.Background())
	j := &janitor{conn: c, asked: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	go j.run(ctx)
	return j
}

// topic is what is known about a topic.
func (j *janitor) topic(name string) *knownTopic {
	v, ok := j.topics.Load(name)
	if !ok {
		v, _ = j.topics.LoadOrStore(name, &knownTopic{})
	}
	return v.(*knownTopic) //nolint:forcetypeassert // nothing else is stored
}

// there notes that the stream has answered.
func (t *knownTopic) there() {
	if !t.seen.Load() || t.gone.Load() { // most often it has: no need to write
		t.seen.Store(true)
		t.gone.Store(false)
	}
}

// use is there for who publishes or consumes.
func (t *knownTopic) use() {
	if !t.used.Load() {
		t.used.Store(true)
	}
	t.there()
}

// ask asks for a look at a topic, soon.
func (j *janitor) ask(t *knownTopic) {
	if t.asked.Swap(true) {
		return
	}
	select {
	case j.asked <- struct{}{}:
	default:
	}
}

// close ends it and waits.
func (j *janitor) close() {
	j.cancel()
	<-j.done
}

func (j *janitor) run(ctx context.Context) {
	defer close(j.done)
	tick := time.NewTicker(janitorEvery)
	defer tick.Stop()
	pause := time.NewTicker(janitorPause)
	defer pause.Stop()
	for {
		all := false
		select {
		case <-tick.C:
			all = true
		case <-j.asked:
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		case <-ctx.Done():
			return
		}
		if !j.conn.pub.nc.IsConnected() {
			continue
		}
		j.topics.Range(func(name, v any) bool {
			t := v.(*knownTopic) //nolint:forcetypeassert // nothing else is stored
			if t.asked.Swap(false) || all && t.used.Load() {
				j.look(ctx, name.(string), t) //nolint:forcetypeassert // nothing else is stored
			}
			return ctx.Err() == nil
		})
	}
}

// look looks at one topic. When the server does not answer, it is as it was.
func (j *janitor) look(ctx context.Context, name string, t *knownTopic) {
	log := j.conn.cfg.Log.With("topic", name)
	call, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	stream, err := j.conn.js.Stream(call, j.conn.stream(name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !t.gone.Swap(true) && t.seen.Load() {
			log.Error("the topic is gone: somebody has deleted its stream")
		}
		return
	}
	if err == nil {
		t.there()
		if drops := drops(stream.CachedInfo().Config); drops != t.drops {
			t.drops = drops
			log.Warn("the stream drops its oldest messages when it is full, read or not; set its discard policy to new", "drops", drops)
		}
		err = j.sweep(call, stream, t.forget.Load())
	}
	if failed := err != nil; failed != t.failed && ctx.Err() == nil {
		t.failed = failed
		log.Warn("making room in a topic", "works", !failed, "err", err)
	}
}

// drops reports whether a stream makes room by itself, at whose cost ever.
func drops(cfg jetstream.StreamConfig) bool {
	return cfg.Discard == jetstream.DiscardOld && (cfg.MaxBytes > 0 || cfg.MaxMsgs > 0)
}

// sweep removes what every group has acknowledged, the oldest first: all of it, or
// when its room is needed.
func (j *janitor) sweep(ctx context.Context, stream jetstream.Stream, all bool) error {
	// The groups are asked after the stream: what they have acknowledged by then
	// can include what came since, and that is left alone. A group made since then
	// is not asked, and loses nothing either that was published after it was made.
	info := stream.CachedInfo()
	last := excess(info)
	if all && info.State.Msgs > 0 {
		last = info.State.LastSeq
	}
	if last == 0 {
		return nil
	}
	floor, err := j.acknowledged(ctx, info.Config.Name)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	if last = min(last, floor); last < info.State.FirstSeq {
		return nil
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(last+1)); err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	return nil
}

// excess is the sequence up to which a stream would have to be purged, so that
// about three eighths of it are taken; 0 while not even half is. What is there
// for replay must not cost publishers more than that, and a burst should find
// room before the next look.
func excess(info *jetstream.StreamInfo) (last uint64) {
	room, state := info.Config.MaxBytes, info.State
	if room <= 0 || state.Msgs == 0 || state.Bytes <= uint64(room/2) {
		return 0
	}
	average := max(state.Bytes/state.Msgs, 1)
	return min(state.FirstSeq+(state.Bytes-uint64(room/8*3))/average, state.LastSeq)
}

// acknowledged is what floor finds of all groups of a stream.
func (j *janitor) acknowledged(ctx context.Context, stream string) (uint64, error) {
	for all := []*jetstream.ConsumerInfo(nil); ; {
		page, err := j.groups(ctx, stream, len(all))
		if err != nil {
			return 0, err
		}
		all = append(all, page.Consumers...)
		if len(all) == page.Total {
			return floor(all), nil
		}
		if len(page.Consumers) == 0 || len(all) > page.Total {
			return 0, errors.New("it changes while we read it")
		}
	}
}

// floor is the sequence up to which every group that must not lose anything has
// acknowledged all. Where there is no group at all, nothing counts as
// acknowledged: somebody may have deleted one that will be made anew.
func floor(consumers []*jetstream.ConsumerInfo) uint64 {
	low, groups := ^uint64(0), 0
	for _, c := range consumers {
		if c.Config.Durable == "" {
			continue // a tail
		}
		groups++
		if c.Config.Metadata[metaMayLose] == "true" {
			continue
		}
		own := c.AckFloor.Stream
		if c.NumAckPending == 0 {
			own = max(own, c.Delivered.Stream) // the floor of a group that is new lags behind
		}
		low = min(low, own)
	}
	if groups == 0 {
		return 0
	}
	return low
}

// groupPage is a part of the list of a stream's consumers.
type groupPage struct {
	Total     int                       `json:"total"`
	Consumers []*jetstream.ConsumerInfo `json:"consumers"`
	Missing   []string                  `json:"missing"`
	Error     *jetstream.APIError       `json:"error"`
}

// groups asks for the consumers of a stream. The library's own list leaves out,
// without a word, those whose server does not answer: they are the ones that
// must not be forgotten.
func (j *janitor) groups(ctx context.Context, stream string, offset int) (page groupPage, err error) {
	request := fmt.Appendf(nil, `{"offset":%d}`, offset)
	m, err := j.conn.pub.nc.RequestWithContext(ctx, "$JS.API.CONSUMER.LIST."+stream, request)
	if err == nil {
		err = json.Unmarshal(m.Data, &page)
	}
	switch {
	case err != nil:
		return page, err
	case page.Error != nil:
		return page, page.Error
	case len(page.Missing) > 0:
		return page, fmt.Errorf("%w: nobody answers for %s", broker.ErrUnavailable, strings.Join(page.Missing, ", "))
	}
	return page, nil
}
