package kafka

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Bounds of what compressed messages may become. A batch of 10 MiB can unpack to
// a hundred gigabytes, and whoever publishes to the inbox may send it.
const (
	haulMost   = 4 << 20   // of all messages of one fetch; then the next fetch goes on
	recordMost = 32 << 20  // of one message, the most that a worker takes by default
	unpackMost = 256 << 20 // of one batch, skipped messages among them
)

// haul is what a fetch brought: messages, and the offset to go on at.
type haul struct {
	records []record
	next    int64
	end     int64 // where the partition ended
	lost    int64 // messages that can not be unpacked, and why the last of them
	why     error
}

// record is a message as it was fetched. It owns its memory.
type record struct {
	offset  int64
	time    time.Time
	key     []byte // nil is none
	value   []byte
	headers []kmsg.Header
}

func (r *record) size() int {
	n := len(r.value) + len(r.key)
	for i := range r.headers {
		n += len(r.headers[i].Key) + len(r.headers[i].Value) + 4
	}
	return n
}

// batchHead is the length of what comes before the records of a batch, lengthAt
// where the length of what follows it is, and sumFrom where the checksum begins.
const (
	batchHead = 61
	lengthAt  = 8
	sumFrom   = 21
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// unpack reads batches from offset from on. A batch, or a message, that can not
// be unpacked within bounds is counted and left behind, for it will never be
// otherwise. An error says that reading again may help.
func unpack(raw []byte, from int64) (haul, error) {
	u := unpacker{haul: haul{next: from}, room: haulMost}
	for len(raw) >= batchHead && u.room > 0 {
		length := lengthAt + 4 + int(binary.BigEndian.Uint32(raw[lengthAt:]))
		if length > len(raw) {
			break // cut off where the answer was full
		}
		if err := u.batch(raw[:length]); err != nil {
			if len(u.records) > 0 {
				break // the next fetch meets it again
			}
			return u.haul, err
		}
		raw = raw[length:]
	}
	return u.haul, nil
}

type unpacker struct {
	haul
	room  int
	arena []byte // small messages share memory
}

var errFormat = errors.New("the batch has a format of before Kafka 0.11")

func (u *unpacker) batch(raw []byte) error {
	var b kmsg.RecordBatch
	if err := b.ReadFrom(raw); err != nil {
		return fmt.Errorf("read a batch: %w", err)
	}
	end := b.FirstOffset + int64(b.LastOffsetDelta) + 1
	switch {
	case b.Magic != 2:
		return errFormat
	case crc32.Checksum(raw[sumFrom:], castagnoli) != uint32(b.CRC): //nolint:gosec // the bits
		return errors.New("the checksum of a batch is wrong")
	case end <= u.next:
		return nil
	case protocol.Attributes(b.Attributes).Control(): // a transaction's end
		u.next = end
		return nil
	}
	in, done, err := opened(protocol.Attributes(b.Attributes).Compression(), b.Records)
	if err == nil {
		defer done()
		err = u.read(in, &b)
	}
	if errors.Is(err, errRoom) {
		return nil
	}
	if err != nil {
		u.lose(end-u.next, err)
	}
	u.next = end
	return nil
}

func (u *unpacker) lose(n int64, why error) { u.lost, u.why = u.lost+n, why }

var (
	errRoom   = errors.New("enough for one fetch")
	errRecord = errors.New("a message breaks the format")
	errHuge   = fmt.Errorf("a message unpacks to more than %d MiB", recordMost>>20)
	errBomb   = fmt.Errorf("a batch unpacks to more than %d MiB", unpackMost>>20)
)

// headMost is what the fields of a record before its key may take.
const headMost = 1 + 2*binary.MaxVarintLen64

// read reads the messages of a batch, which are unpacked as they are read.
func (u *unpacker) read(in *bufio.Reader, b *kmsg.RecordBatch) error {
	left := int64(unpackMost)
	for range b.NumRecords {
		if u.room <= 0 {
			return errRoom
		}
		length, err := binary.ReadVarint(in)
		if err != nil {
			return err
		}
		if left -= length; left < 0 {
			return errBomb
		}
		head, err := in.Peek(int(min(max(length, 0), headMost)))
		if err != nil {
			return err
		}
		at := cursor{b: head}
		at.skip(1) // attributes, of which there are none
		sent, offset := at.varint(), b.FirstOffset+at.varint()
		if at.bad {
			return errRecord
		}
		switch {
		case offset < u.next: // the batch began before what was asked for
			_, err = in.Discard(int(length))
		case length > recordMost:
			u.lose(1, errHuge)
			u.next = offset + 1
			_, err = in.Discard(int(length))
		default:
			err = u.record(in, int(length), record{offset: offset, time: stamp(b, sent)})
			if errors.Is(err, errRecord) { // it was read whole, and its neighbours are sound
				u.lose(1, err)
				err = nil
			}
			if err == nil {
				u.next = offset + 1
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// record reads one message into memory of its own.
func (u *unpacker) record(in io.Reader, length int, r record) error {
	buf := u.take(length)
	if _, err := io.ReadFull(in, buf); err != nil {
		return err
	}
	at := cursor{b: buf}
	at.skip(1)
	at.varint()
	at.varint()
	r.key, r.value = at.bytes(), at.bytes()
	n := at.varint()
	if n < 0 || n > headersMost {
		return errRecord
	}
	r.headers = make([]kmsg.Header, n)
	for i := range r.headers {
		r.headers[i] = kmsg.Header{Key: string(at.bytes()), Value: at.bytes()}
	}
	if at.bad {
		return errRecord
	}
	if r.value == nil {
		r.value = []byte{}
	}
	u.records = append(u.records, r)
	u.room -= length
	return nil
}

// headersMost bounds the memory that a claim can take.
const headersMost = 4096

// stamp is when a message was stored, or sent where the topic keeps that.
func stamp(b *kmsg.RecordBatch, delta int64) time.Time {
	if b.Attributes&logAppendTime != 0 {
		return time.UnixMilli(b.MaxTimestamp)
	}
	return time.UnixMilli(b.FirstTimestamp + delta)
}

// cursor reads fields of a record; bad is sticky.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) skip(n int) {
	if n > len(c.b) {
		c.b, c.bad = nil, true
		return
	}
	c.b = c.b[n:]
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.b, c.bad = nil, true
		return 0
	}
	c.b = c.b[n:]
	return v
}

// bytes reads a length and as many bytes; nil is none.
func (c *cursor) bytes() []byte {
	n := c.varint()
	if n < 0 || c.bad {
		return nil
	}
	if n > int64(len(c.b)) {
		c.b, c.bad = nil, true
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

// logAppendTime says that the broker's clock stands in MaxTimestamp.
const logAppendTime = 1 << 3

// chunk is how much memory small messages share.
const chunk = 128 << 10

// take returns n bytes.
func (u *unpacker) take(n int) []byte {
	if n > chunk/8 {
		return make([]byte, n)
	}
	if len(u.arena) < n {
		u.arena = make([]byte, chunk)
	}
	out := u.arena[:n:n]
	u.arena = u.arena[n:]
	return out
}
