package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// Readers are the groups that read a topic of event.All. They exist before the
// first message, so that no message finds nobody to wait for it.
func Readers(topic string) []string {
	for _, t := range event.All() {
		if t.Name == topic {
			return t.Groups
		}
	}
	return nil
}

// ackWait is how long a message stays with a worker that says nothing: what
// its successor waits for after kill -9. Workers renew it three times as often,
// and an insert takes seconds at the most.
const ackWait = 20 * time.Second

// The rhythm of keeping topics. Checks are what readiness knows; the round that
// ensures everything finds what no check sees, such as a lost binding.
const (
	checkEvery  = time.Second
	ensureEvery = 30 * time.Second
	// ensureTimeout bounds one round.
	ensureTimeout = 10 * time.Second
	// staleAfter is when a check that has not come back says nothing any more: a
	// round and two checks may take that long.
	staleAfter = ensureTimeout + 2*checkTimeout
)

// Topics keeps the topics that a service needs: it makes what is missing, at the
// start and ever after, and is not ready while something is. See ADR 14.
type Topics struct {
	env    Env
	broker broker.Broker
	needs  []string
	mended *prometheus.CounterVec

	mu      sync.Mutex
	checked time.Time // when the last check came back
	missing error     // what it found
	ensured time.Time // when the last round had made everything
}

// Topics is what a service needs of the broker: topics that it can publish to,
// and that have all the groups of the catalogue to read them. The process is not
// ready before Provision has returned, nor while one of them is missing.
func (e Env) Topics(b broker.Broker, needs ...string) *Topics {
	t := &Topics{env: e, broker: b, needs: needs, checked: time.Now(), missing: fault.Unavailable.New("the topics are not there yet")}
	t.mended = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "driftmesh_topics_mended_total", Help: "How often a topic, or a group of it, was missing on the broker and is there again.",
	}, []string{"topic"})
	if e.Stats != nil {
		e.Stats.MustRegister(t.mended)
	}
	e.Ready("topics of "+e.service, t.Ready)
	return t
}

// Ready returns nil while everything that the service needs is there and
// publishing to it works; otherwise it names what is not. It asks nobody: it
// tells what the last check found, about a second ago, and what callers have met
// since.
func (t *Topics) Ready(context.Context) error {
	t.mu.Lock()
	checked, missing := t.checked, t.missing
	t.mu.Unlock()
	if missing != nil {
		return missing
	}
	if age := time.Since(checked); age > staleAfter {
		return fault.Unavailable.New("the broker has not answered for %v", age.Round(time.Second))
	}
	return t.failing()
}

// failing is what publishers meet, unless the topics were ensured since.
func (t *Topics) failing() error {
	t.mu.Lock()
	ensured := t.ensured
	t.mu.Unlock()
	var errs []error
	for _, topic := range t.needs {
		if at, err := broker.Failing(t.broker, topic); !at.Before(ensured) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Run is Provision and Keep, for a service that serves meanwhile.
func (t *Topics) Run(ctx context.Context) error {
	if err := t.Provision(ctx); err != nil {
		return UnlessStopped(ctx, err)
	}
	return t.Keep(ctx)
}

// Provision makes all topics of the mesh, dead letters included, and their groups
// exist, unless the settings say that somebody else does. Every service calls it
// at its start, in any order and at the same time. It waits while that fails for
// a reason that may pass, and returns when ctx ends or it cannot succeed.
func (t *Topics) Provision(ctx context.Context) error {
	for wait := 100 * time.Millisecond; t.env.Shared.Broker.Provision; wait = min(2*wait, 5*time.Second) {
		err := t.ensure(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil || lasting(err) {
			return err
		}
		t.env.Log.Warn("the topics cannot be made yet", telemetry.Err(err), slog.Duration("retry_in", wait))
		if !pause(ctx, wait) {
			return ctx.Err()
		}
	}
	t.check(ctx)
	return nil
}

// lasting reports whether it cannot help to try again: the broker refuses us, or
// what we want.
func lasting(err error) bool {
	if errors.Is(err, broker.ErrDenied) {
		return true
	}
	switch fault.Of(err).Kind() {
	case fault.Invalid, fault.Denied, fault.Unauthenticated, fault.Precondition, fault.Unsupported:
		return true
	default:
		return false
	}
}

// Keep checks what the service needs, about once a second, and makes anew what
// is missing, until ctx ends. It returns nil.
//
// All services of all processes do so, at the same time, and need not agree: to
// ensure leaves what exists as it is, so whoever comes second changes nothing;
// and each makes a topic before its groups, so a group that is there has a topic
// that is there.
func (t *Topics) Keep(ctx context.Context) error {
	well := true
	for pause(ctx, checkEvery/2+rand.N(checkEvery)) {
		gone := t.check(ctx)
		if err := t.Ready(ctx); (err == nil) != well {
			well = err == nil
			t.tell(err)
		}
		t.mu.Lock()
		due := time.Since(t.ensured) > ensureEvery
		t.mu.Unlock()
		if !t.env.Shared.Broker.Provision || len(gone) == 0 && !due {
			continue
		}
		if err := t.ensure(ctx); err != nil {
			if ctx.Err() == nil {
				t.env.Log.Warn("the topics cannot be made", telemetry.Err(err))
			}
			continue
		}
		for _, topic := range gone {
			t.env.Log.Warn("a topic was missing on the broker and is there again", slog.String("topic", topic))
			t.mended.WithLabelValues(topic).Inc()
		}
		t.check(ctx)
	}
	return nil
}

// tell logs that readiness has changed.
func (t *Topics) tell(err error) {
	if err != nil {
		t.env.Log.Warn("not ready: the broker lacks something", telemetry.Err(err), slog.Bool("provision", t.env.Shared.Broker.Provision))
		return
	}
	t.env.Log.Info("ready again: the broker has everything")
}

// check asks the broker for what the service needs, and returns the topics that
// are gone, or have lost a group.
func (t *Topics) check(ctx context.Context) (gone []string) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var errs []error
	for _, topic := range t.needs {
		err := t.broker.Admin().Check(ctx, topic, Readers(topic)...)
		_, met := broker.Failing(t.broker, topic)
		errs = append(errs, err)
		if isGone(err) || isGone(met) {
			gone = append(gone, topic)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checked, t.missing = time.Now(), errors.Join(errs...)
	return gone
}

func isGone(err error) bool {
	return errors.Is(err, broker.ErrUnroutable) || errors.Is(err, broker.ErrNoGroup)
}

// ensure makes everything that the catalogue names, once.
func (t *Topics) ensure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	admin, set := t.broker.Admin(), t.env.Shared.Broker
	for _, topic := range event.All() {
		err := admin.EnsureTopic(ctx, broker.TopicSpec{
			Name: topic.Name, MaxAge: set.MaxAge, MaxBytes: int64(set.MaxBytes), Replicas: set.Replicas, Dedupe: dedupe(topic),
		})
		if err != nil {
			return fmt.Errorf("provision topic %s: %w", topic.Name, err)
		}
		for _, group := range topic.Groups {
			if err := admin.EnsureGroup(ctx, broker.GroupSpec{Topic: topic.Name, Name: group, AckWait: ackWait}); err != nil {
				return fmt.Errorf("provision group %s of topic %s: %w", group, topic.Name, err)
			}
		}
	}
	t.mu.Lock()
	t.ensured = time.Now()
	t.mu.Unlock()
	return nil
}

// pause waits, and reports false when ctx ended instead.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// dedupe is how long a topic takes an id that comes again for the same message:
// not at all where strangers choose ids, and next to not at all for dead
// letters, which are parked again under the id they had.
func dedupe(t event.Topic) time.Duration {
	switch {
	case t.Open:
		return broker.NoDedupe
	case broker.IsDLQ(t.Name):
		return broker.DLQDedupe
	default:
		return 0 // the usual
	}
}
