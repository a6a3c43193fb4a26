package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/driftmesh/driftmesh/bench/harness"
	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
)

const (
	// topicBytes is room enough for what a round publishes, mostBytes, as the
	// server stores it.
	topicBytes = 4 << 30
	mostBytes  = 1 << 30
	// phase is the longest that publishing or consuming may take.
	phase = 2 * time.Minute
)

// bench measures one broker.
type bench struct {
	flags
	name   string
	server server.Broker
	lib    library
	load   *load
}

// measure starts a broker and measures both sides, turn by turn.
func measure(b *harness.Bench, f flags, name string) (Broker, error) {
	ctx := context.Background()
	m := &bench{flags: f, name: name, lib: libraries[name], load: newLoad(f.Batch, f.Size)}
	m.server = mesh.StartBroker(b, name)
	result := Broker{Name: name}
	for round := range f.Rounds + 1 { // the first only warms up
		var pair [2]Round
		for i, who := range []string{"bare", "driver"} {
			var err error
			if pair[i], err = m.round(ctx, who, round); err != nil {
				return result, fmt.Errorf("%s, round %d: %w", who, round, err)
			}
		}
		if round > 0 {
			result.Bare, result.Driver = append(result.Bare, pair[0]), append(result.Driver, pair[1])
		}
	}
	result.PeakMiB = harness.PeakMiB(m.server.PID())
	result.summarize()
	return result, nil
}

// round publishes into a new topic, consumes it, and removes it.
func (m *bench) round(ctx context.Context, who string, round int) (Round, error) {
	topic := fmt.Sprintf("bench-%s-%d", who, round)
	if err := m.provision(ctx, topic); err != nil {
		return Round{}, err
	}
	open := m.lib.open
	if who == "driver" {
		open = openDriver
	}
	s, err := open(ctx, m.server.URL(), topic, m.Batch)
	if err != nil {
		return Round{}, err
	}
	do := func(_, _ string, f func() error) error { return f() }
	if who == "driver" && round == m.Rounds {
		do = m.profile
	}
	var out Round
	total := 0
	err = do(m.name, "publish", func() error {
		out.Publish, total, err = m.publish(ctx, s)
		return err
	})
	if err == nil {
		err = do(m.name, "consume", func() error {
			out.Consume, err = m.consume(ctx, s, total)
			return err
		})
	}
	s.close()
	return out, errors.Join(err, m.lib.remove(ctx, m.server.URL(), topic))
}

// provision makes the topic and its group as the mesh does, for both sides: so
// the server's settings are the same.
func (m *bench) provision(ctx context.Context, topic string) error {
	b, err := driver.Open(ctx, driver.Config{URL: m.server.URL()})
	if err != nil {
		return err
	}
	err = errors.Join(
		b.Admin().EnsureTopic(ctx, broker.TopicSpec{Name: topic, MaxBytes: topicBytes}),
		b.Admin().EnsureGroup(ctx, broker.GroupSpec{Topic: topic, Name: group}),
	)
	return errors.Join(err, b.Close(ctx))
}

// publish lets all callers publish for a while, and says how many messages
// there are now.
func (m *bench) publish(ctx context.Context, s side) (cost Cost, total int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, phase, errors.New("publishing took too long"))
	defer cancel()
	callers := make([]func() error, m.Callers)
	for i := range callers {
		send, err := s.sender()
		if err != nil {
			return cost, 0, err
		}
		items := make([]item, m.Batch)
		callers[i] = func() error {
			m.load.fill(items)
			return send(ctx, items)
		}
		if err := callers[i](); err != nil { // connects
			return cost, 0, err
		}
	}
	var batches atomic.Int64
	limit := int64(mostBytes / (m.Batch * m.Size))
	errs := make([]error, m.Callers)
	watch := m.start()
	end := time.Now().Add(m.duration())
	var all sync.WaitGroup
	for i, call := range callers {
		all.Go(func() {
			for errs[i] == nil && time.Now().Before(end) && batches.Add(1) <= limit {
				errs[i] = call()
			}
		})
	}
	all.Wait()
	sent := int(min(batches.Load(), limit)) * m.Batch
	return watch.stop(sent), sent + m.Callers*m.Batch, errors.Join(errs...)
}

// unsettled is how many batches one worker may hold: one that it receives, and
// one that it acknowledges.
const unsettled = 2

// consume lets one worker receive and acknowledge everything. The clock starts
// with its first batch: joining a group is not what is measured.
func (m *bench) consume(ctx context.Context, s side, total int) (cost Cost, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, phase, errors.New("consuming took too long"))
	defer cancel()
	r, err := s.receiver(ctx)
	if err != nil {
		return cost, err
	}
	defer r.close()
	acks := make(chan batch, unsettled-2) // the acknowledger holds one
	done := make(chan error, 1)
	go func() {
		var failed error
		for b := range acks {
			if failed == nil {
				failed = b.ack(ctx)
			}
		}
		done <- failed
	}()
	var watch *watch
	first, left := 0, total
	for left > 0 && err == nil {
		var b batch
		if b, err = r.receive(ctx, min(m.Batch, left)); err != nil {
			err = fmt.Errorf("%d of %d left: %w", left, total, err)
			break
		}
		if watch == nil {
			first, watch = b.n, m.start()
		}
		left -= b.n
		err = m.load.check(&b)
		acks <- b
	}
	close(acks)
	if err = errors.Join(err, <-done); err != nil {
		return cost, err
	}
	return watch.stop(total - first), nil
}

// watch measures time, our CPU time and what the server does.
type watch struct {
	pid              int
	begin            time.Time
	own, theirs      float64
	written, resides float64
}

func (m *bench) start() *watch {
	runtime.GC()
	pid := m.server.PID()
	return &watch{
		pid: pid, own: ownCPU(), theirs: harness.CPU(pid), written: harness.WrittenMiB(pid),
		resides: harness.ResidentMiB(pid), begin: time.Now(),
	}
}

func (w *watch) stop(messages int) Cost {
	n := float64(messages)
	return Cost{
		Messages:  messages,
		PerSecond: n / time.Since(w.begin).Seconds(),
		CPU:       (ownCPU() - w.own) / n * 1e6,
		ServerCPU: (harness.CPU(w.pid) - w.theirs) / n * 1e6,
		Written:   (harness.WrittenMiB(w.pid) - w.written) * (1 << 20) / n,
		Resident:  (harness.ResidentMiB(w.pid) - w.resides) * (1 << 20) / n,
	}
}

// ownCPU is the CPU time of this process in seconds.
func ownCPU() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
