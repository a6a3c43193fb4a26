package kafka

import (
	"strconv"
	"time"

	"github.com/driftmesh/driftmesh/internal/broker/driver/kafka/frontier"
)

// partition is a lane in the hands of a session: its books, and what was fetched
// of it and not delivered. All that changes is guarded by consumer.mu.
type partition struct {
	id      int
	name    string
	suspect int64 // deliveries before this offset are put on record first

	books *frontier.Lane
	found []item // given back, and fetched again

	// Fetched, for a first delivery.
	buf     []record
	pos     int64 // where the next fetch begins
	fetched time.Time
	end     int64         // where the partition ended then
	epoch   int           // grows when pos is moved other than by what was fetched, which makes a fetch under way void
	more    chan struct{} // capacity 1: buf was used up, or pos was moved
}

func newPartition(id int, books *frontier.Lane) *partition {
	return &partition{
		id: id, name: strconv.Itoa(id), books: books, pos: books.Next(), more: make(chan struct{}, 1),
	}
}

// fill moves what may be delivered into the draft, and reports whether the
// draft is full.
func (pt *partition) fill(k *consumer) (full bool) {
	for len(pt.found) > 0 {
		it := pt.found[0]
		size := it.rec.size()
		if !k.room(size) {
			return len(k.draft) > 0
		}
		if pt.books.Busy(it.key) {
			break
		}
		k.draft, k.drafted = append(k.draft, it), k.drafted+size
		pt.found = pt.found[1:]
	}
	if len(pt.buf) > 0 && time.Since(pt.fetched) > stale {
		pt.seek(pt.undrafted(k))
	}
	for len(pt.buf) > 0 {
		r := &pt.buf[0]
		size := r.size()
		if !k.room(size) {
			return len(k.draft) > 0
		}
		key := k.hash(r.key)
		if !pt.books.Room(r.offset) || pt.books.Busy(key) {
			return false
		}
		k.draft, k.drafted = append(k.draft, item{part: pt, rec: *r, key: key}), k.drafted+size
		*r = record{}
		pt.buf = pt.buf[1:]
	}
	pt.wake()
	return len(k.draft) >= k.cfg.MaxMessages
}

// undrafted is the first offset that is neither delivered nor in the draft.
func (pt *partition) undrafted(k *consumer) int64 {
	next := pt.books.Next()
	for i := range k.draft {
		if it := &k.draft[i]; it.part == pt && it.msg == nil {
			next = it.rec.offset + 1
		}
	}
	return next
}

// passed notes that nothing is left to deliver before pos: what is between the
// last delivery and there is no message, or none that can be unpacked. Without
// it the frontier would wait for a delivery to come.
func (pt *partition) passed(k *consumer) {
	if len(pt.buf) == 0 && pt.undrafted(k) == pt.books.Next() {
		pt.books.Skip(pt.pos)
	}
}

// seek drops what was fetched, and fetches from an offset.
func (pt *partition) seek(offset int64) {
	pt.buf, pt.pos = nil, offset
	pt.epoch++
	pt.wake()
}

// reset drops what was fetched and is not delivered. What had been given back
// waits to be fetched again.
func (pt *partition) reset() {
	for _, it := range pt.found {
		pt.books.Lose(it.msg)
	}
	pt.found = nil
	pt.seek(pt.books.Next())
}

// wake lets the partition's reader look again.
func (pt *partition) wake() {
	select {
	case pt.more <- struct{}{}:
	default:
	}
}

// position is the Delivery.Position of an offset.
func (pt *partition) position(offset int64) string {
	return pt.name + ":" + strconv.FormatInt(offset, 10)
}
