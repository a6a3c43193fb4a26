package sdk

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// forever is a wait that only a wake ends.
const forever = time.Duration(math.MaxInt64)

// batch is a run of records that travel together.
type batch struct {
	id      uint64
	first   uint64 // number of its first record, counted from 1 over the client's life
	records []*ingestv1.Record
	bytes   int
	sent    bool // on the present stream
}

// queue holds every record that is not durable yet, in the order in which they
// were sent by the user. It is safe for concurrent use; next is called by one
// goroutine.
type queue struct {
	cfg *config

	mu      sync.Mutex
	open    batch     // being filled
	since   time.Time // when its first record came
	flights []*batch  // cut, without an answer, in order
	records int       // in open and flights
	bytes   int
	entered uint64 // records ever taken in
	lastID  uint64
	flushTo uint64    // records up to this number do not linger
	single  bool      // send batch by batch, to find the one that breaks the stream
	holdTo  time.Time // send nothing before
	closed  bool

	rejected RejectedError // since the last flush
	unsent   UnsentError
	stats    Stats

	changed chan struct{} // closed and replaced whenever records leave
	wake    chan struct{} // capacity 1: there may be something to send
}

func newQueue(cfg *config) *queue {
	return &queue{cfg: cfg, changed: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// put takes a record in. When there is no room it waits, or returns ErrFull if
// it must not.
func (q *queue) put(ctx context.Context, m *ingestv1.Record, wait bool) error {
	bytes := size(m)
	for {
		changed, err := q.tryPut(m, bytes)
		if !wait || !errors.Is(err, ErrFull) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (q *queue) tryPut(m *ingestv1.Record, bytes int) (changed <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, ErrClosed
	}
	if q.records > 0 && (q.records >= q.cfg.queueRecords || q.bytes+bytes > q.cfg.queueBytes) {
		q.flushTo = q.entered // whoever waits must not wait for the linger too
		q.nudge()
		return q.changed, ErrFull
	}
	if len(q.open.records) > 0 && q.open.bytes+bytes > q.cfg.batchBytes {
		q.cut()
	}
	q.entered++
	if len(q.open.records) == 0 {
		q.open.first, q.since = q.entered, time.Now()
		q.nudge()
	}
	q.open.records = append(q.open.records, m)
	q.open.bytes += bytes
	q.records++
	q.bytes += bytes
	if len(q.open.records) >= q.cfg.batchRecords {
		q.cut()
	}
	return nil, nil
}

// cut closes the open batch. The caller holds mu.
func (q *queue) cut() {
	q.lastID++
	b := q.open
	b.id = q.lastID
	q.flights = append(q.flights, &b)
	q.open = batch{}
	q.nudge()
}

func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next returns the batch to send now and marks it sent, or how long to wait for
// one unless wake comes first.
func (q *queue) next(now time.Time) (*batch, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if hold := q.holdTo.Sub(now); hold > 0 {
		return nil, hold
	}
	limit, sent := q.cfg.inFlight, 0
	if q.single {
		limit = 1
	}
	for _, b := range q.flights {
		if b.sent {
			sent++
		}
	}
	if sent >= limit {
		return nil, forever
	}
	if sent == len(q.flights) { // all that was cut is on its way
		if len(q.open.records) == 0 {
			return nil, forever
		}
		linger := q.cfg.linger - now.Sub(q.since)
		if linger > 0 && !q.closed && q.open.first > q.flushTo {
			return nil, linger
		}
		q.cut()
	}
	i := slices.IndexFunc(q.flights, func(b *batch) bool { return !b.sent })
	q.flights[i].sent = true
	return q.flights[i], 0
}

// restart forgets what was sent: a new stream begins.
func (q *queue) restart() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range q.flights {
		b.sent = false
	}
}

// answer takes the mesh's answer to a batch.
func (q *queue) answer(resp *ingestv1.ExchangeRecordsResponse, pause time.Duration) []Rejection {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.flights, func(b *batch) bool { return b.id == resp.GetBatchId() })
	if i < 0 {
		return nil
	}
	if resp.GetRetryReason() != "" {
		q.flights[i].sent = false
		q.holdTo = time.Now().Add(pause)
		q.stats.Retries++
		q.nudge()
		return nil
	}
	q.single = false
	rejections := rejectionsOf(resp.GetRejections())
	q.rejected.add(resp.GetRejected(), rejections)
	q.stats.Accepted += resp.GetAccepted()
	q.stats.Rejected += resp.GetRejected()
	q.remove(i)
	return rejections
}

// remove lets go of flights[i]. The caller holds mu.
func (q *queue) remove(i int) {
	q.records -= len(q.flights[i].records)
	q.bytes -= q.flights[i].bytes
	q.flights = slices.Delete(q.flights, i, i+1)
	close(q.changed)
	q.changed = make(chan struct{})
	q.nudge()
}

// broken takes the error with which the mesh ended a stream for good. Where
// several batches may be the cause they go again one by one; a batch that was
// alone, or any when all are refused alike, is given up.
func (q *queue) broken(cause error, all bool) *UnsentError {
	q.mu.Lock()
	defer q.mu.Unlock()
	suspects := 0
	for _, b := range q.flights {
		if b.sent {
			suspects++
		}
	}
	if suspects > 1 && !all {
		q.single = true
		return nil
	}
	if suspects == 0 && len(q.open.records) > 0 {
		q.cut() // refused before anything was sent, which speaks of everything
	}
	given := UnsentError{Cause: cause}
	for i := len(q.flights) - 1; i >= 0; i-- {
		if q.flights[i].sent || suspects == 0 {
			given.Count += uint64(len(q.flights[i].records))
			q.remove(i)
		}
	}
	if given.Count == 0 {
		return nil
	}
	q.unsent.Count += given.Count
	q.unsent.Cause = cause
	q.stats.Unsent += given.Count
	return &given
}

// flush waits until every record taken in so far has left the queue.
func (q *queue) flush(ctx context.Context) error {
	q.mu.Lock()
	target := q.entered
	q.flushTo = max(q.flushTo, target)
	q.nudge()
	q.mu.Unlock()
	for {
		changed, err, done := q.flushed(target)
		if done {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (q *queue) flushed(target uint64) (changed <-chan struct{}, err error, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	oldest := q.entered + 1
	if len(q.open.records) > 0 {
		oldest = q.open.first
	}
	if len(q.flights) > 0 {
		oldest = q.flights[0].first
	}
	if oldest <= target {
		return q.changed, nil, false
	}
	return nil, q.outcome(), true
}

// outcome is what went wrong since the last flush. The caller holds mu.
func (q *queue) outcome() error {
	rejected, unsent := q.rejected, q.unsent
	q.rejected, q.unsent = RejectedError{}, UnsentError{}
	switch {
	case unsent.Count > 0:
		return &unsent
	case rejected.Count > 0:
		return &rejected
	}
	return nil
}

// close lets no more records in.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	close(q.changed)
	q.changed = make(chan struct{})
	q.nudge()
}

func (q *queue) snapshot() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Queued, s.QueuedBytes = q.records, q.bytes
	return s
}

// idle reports whether no batch waits to be sent or answered.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.records == 0
}

func (e *RejectedError) add(count uint64, rejections []Rejection) {
	e.Count += count
	e.Rejections = append(e.Rejections, rejections[:min(len(rejections), maxRejections-len(e.Rejections))]...)
}

func rejectionsOf(list []*ingestv1.Rejection) []Rejection {
	out := make([]Rejection, len(list))
	for i, r := range list {
		out[i] = Rejection{RecordID: r.GetRecordId(), Field: r.GetField(), Reason: r.GetReason(), Message: r.GetMessage()}
	}
	return out
}
