package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// recordQueue holds every record that is not durable yet, as the bytes in which it
// travels, in the order in which they came. It is safe for concurrent use.
type recordQueue struct {
	*lane
	cfg  *config
	most func() int // bytes of a batch; the transport may find out that it carries less

	// Guarded by the lane's mu.
	full  []parcel // whole batches
	open  parcel   // being filled
	items int      // in both
	bytes int
}

// parcel is a request being filled.
type parcel struct {
	body  []byte
	items int
}

func newRecordQueue(cfg *config, p *pace, maxBytes func() int) *recordQueue {
	q := &recordQueue{cfg: cfg, most: maxBytes}
	q.lane = newLane(laneConfig{linger: cfg.linger, inFlight: cfg.inFlight}, q, p)
	q.tally.signal, q.tally.place = "records", placeMesh
	return q
}

func (q *recordQueue) waiting() int { return q.items }

func (q *recordQueue) whole() bool { return len(q.full) > 0 }

func (q *recordQueue) take() *flight {
	p := q.open
	if len(q.full) > 0 {
		p = q.full[0]
		q.full[0] = parcel{}
		q.full = q.full[1:]
	} else {
		q.open = parcel{}
	}
	q.items -= p.items
	q.bytes -= len(p.body)
	return &flight{items: p.items, bytes: len(p.body), load: p.body}
}

// scratch is where a record is encoded before the queue is locked.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// put takes a record in. When there is no room it waits, or returns ErrFull if
// it must not.
func (q *recordQueue) put(ctx context.Context, m *ingestv1.Record, wait bool) error {
	buf, _ := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	encoded, err := appendRecord((*buf)[:0], m)
	if err != nil {
		return err
	}
	*buf = encoded
	return q.putEncoded(ctx, encoded, wait)
}

// putEncoded takes in a record that is encoded as an element of a request. The
// bytes are copied.
func (q *recordQueue) putEncoded(ctx context.Context, encoded []byte, wait bool) error {
	for {
		most := q.most()
		if len(encoded) > most {
			return fmt.Errorf("a record of %d bytes is larger than what can be sent, %d bytes", len(encoded), most)
		}
		changed, err := q.tryPut(encoded, most)
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

// appendRecord writes a record as an element of a request.
func appendRecord(to []byte, m *ingestv1.Record) ([]byte, error) {
	size := proto.Size(m)
	to = slices.Grow(to, size+protowire.SizeVarint(uint64(size))+1)
	to = protowire.AppendVarint(append(to, recordsField), uint64(size))
	to, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(to, m)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return to, nil
}

// tryPut takes a record in if there is room, where a batch has at most so many bytes.
func (q *recordQueue) tryPut(encoded []byte, most int) (changed <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, ErrClosed
	}
	items, bytes := q.items+q.flying, q.bytes+q.load
	if items > 0 && (items >= q.cfg.queueRecords || bytes+len(encoded) > q.cfg.queueBytes) {
		q.flushTo = q.entered // whoever waits must not wait for the linger too
		q.nudge()
		return q.changed, ErrFull
	}
	if q.open.items > 0 && len(q.open.body)+len(encoded) > min(most, q.cfg.batchBytes) {
		q.cut()
	}
	q.open.body = append(q.open.body, encoded...)
	q.open.items++
	q.items++
	q.bytes += len(encoded)
	if q.open.items >= q.cfg.batchRecords {
		q.cut()
	}
	q.came()
	return nil, nil
}

// cut closes the open batch. The caller holds mu.
func (q *recordQueue) cut() {
	q.full = append(q.full, q.open)
	// The next one is likely to become as large.
	q.open = parcel{body: make([]byte, 0, len(q.open.body)+len(q.open.body)/8)}
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

// held is the memory of what waits and of what is on its way.
func (q *recordQueue) held() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes + q.load
}
