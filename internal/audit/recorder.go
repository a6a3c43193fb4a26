package audit

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Sink keeps entries for good: after it has returned nil they are in the chain. An
// entry may come twice.
type Sink func(ctx context.Context, entries []Entry) error

const (
	// gatherFor is how long entries that are alike are counted together.
	gatherFor = 5 * time.Second
	// maxGathered bounds the kinds of them, and fromSource those of one source, which
	// may name whom and what it likes: an entry is there for ever. maxOwed bounds those
	// that the sink did not take yet.
	maxGathered, fromSource, maxOwed = 50, 5, 1000
	// flushTimeout bounds one call of the sink.
	flushTimeout = 5 * time.Second
)

// Recorder hands entries to a Sink. What changes something is recorded before it is
// answered; what was refused is counted and recorded a moment later, so that a flood
// of refusals is a few entries. It is safe for concurrent use.
type Recorder struct {
	sink Sink
	log  *slog.Logger
	now  func() time.Time

	mu       sync.Mutex
	owed     []Entry // not taken by the sink yet, the oldest first
	gathered map[alike]*Entry
	sources  map[string]int // how many of gathered are of each
}

// alike is what entries have in common that are counted together.
type alike struct {
	tenant, actor, home, source, action, reason string
	outcome                                     Outcome
}

// NewRecorder makes a recorder. Its Run must run.
func NewRecorder(sink Sink, log *slog.Logger) *Recorder {
	return &Recorder{sink: sink, log: log, now: time.Now, gathered: map[alike]*Entry{}, sources: map[string]int{}}
}

func (r *Recorder) complete(e *Entry) {
	if e.ID == "" {
		e.ID = uuid.NewString()
	}
	if e.Time.IsZero() {
		e.Time = r.now()
	}
	e.Trim()
}

// Begin tells whether something may be done that must be recorded: not while the
// sink does not take what was done before. It gives fault.Unavailable then.
func (r *Recorder) Begin(ctx context.Context) error {
	r.mu.Lock()
	owed := len(r.owed)
	r.mu.Unlock()
	if owed == 0 {
		return nil
	}
	if err := r.flush(ctx); err != nil {
		return fault.Unavailable.Wrap(err, "what is changed must be recorded, and cannot be just now").
			WithReason("AUDIT_UNAVAILABLE").WithRetryAfter(time.Second)
	}
	return nil
}

// Record records what was done; e has an action and an outcome. When the sink does not take it, it is owed, and
// Begin says so.
func (r *Recorder) Record(ctx context.Context, e Entry) {
	r.complete(&e)
	r.mu.Lock()
	if len(r.owed) < maxOwed {
		r.owed = append(r.owed, e)
	} else {
		// Only calls that began before the first was owed can get here.
		r.log.Error("an audit entry is lost", slog.String("action", e.Action), slog.String("tenant", e.Tenant), slog.String("actor", e.Actor))
	}
	r.mu.Unlock()
	if err := r.flush(ctx); err != nil {
		r.log.Warn("an audit entry is owed", slog.String("action", e.Action), slog.Any("error", err))
	}
}

// Count records what was refused, together with others like it. Where there are more
// kinds of it than are kept, less and less is said of it: first not by whom, then not
// of what, then not from where.
func (r *Recorder) Count(e Entry) {
	e.Trim()
	r.mu.Lock()
	defer r.mu.Unlock()
	for step := 1; ; step++ {
		key := alike{e.Tenant, e.Actor, e.Home, e.Source, e.Action, e.Reason, e.Outcome}
		if first, known := r.gathered[key]; known {
			first.Count += e.Count
			return
		}
		if step > len(coarser) || len(r.gathered) < step*maxGathered && r.sources[e.Source] < step*fromSource {
			r.complete(&e)
			r.gathered[key] = &e
			r.sources[e.Source]++
			return
		}
		coarser[step-1](&e)
	}
}

// coarser leave out of an entry, one after the other, what strangers choose.
var coarser = []func(*Entry){
	func(e *Entry) { e.Actor, e.Kind, e.Home, e.Object, e.Trace = "", "", "", "", "" },
	func(e *Entry) { e.Tenant, e.Action, e.Reason = "", "others", "" },
	func(e *Entry) { e.Source = "" },
}

// Run records what was counted, now and then, until ctx ends, and once more then.
func (r *Recorder) Run(ctx context.Context) error {
	tick := time.NewTicker(gatherFor)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
			defer cancel()
			r.settle(ctx)
			return nil
		}
		r.settle(ctx)
	}
}

func (r *Recorder) settle(ctx context.Context) {
	r.mu.Lock()
	if room := maxOwed - len(r.owed); room > 0 {
		for key, e := range r.gathered {
			if room == 0 {
				break
			}
			room--
			r.owed = append(r.owed, *e)
			delete(r.gathered, key)
			if r.sources[key.source]--; r.sources[key.source] == 0 {
				delete(r.sources, key.source)
			}
		}
	}
	r.mu.Unlock()
	if err := r.flush(ctx); err != nil {
		r.log.Warn("audit entries are owed", slog.Any("error", err))
	}
}

// flush hands over what is owed. Two may hand over the same: the sink knows it.
func (r *Recorder) flush(ctx context.Context) error {
	r.mu.Lock()
	batch := r.owed[:len(r.owed):len(r.owed)]
	r.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	// What was done is recorded though the caller is gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := r.sink(ctx, batch); err != nil {
		return err
	}
	taken := make(map[string]bool, len(batch))
	for i := range batch {
		taken[batch[i].ID] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	left := make([]Entry, 0, len(r.owed))
	for i := range r.owed {
		if !taken[r.owed[i].ID] {
			left = append(left, r.owed[i])
		}
	}
	r.owed = left
	return nil
}
