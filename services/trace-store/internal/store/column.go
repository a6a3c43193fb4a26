package store

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/cespare/xxhash/v2"
)

// The column types of this file keep their values in the form in which the
// native protocol sends them, so that a block is sent without another pass.

const (
	typeString = proto.ColumnType("String")
	typeDict   = proto.ColumnType("LowCardinality(String)")
	typeMap    = proto.ColumnType("Map(LowCardinality(String), String)")
)

// texts is a String column: each value with its length before it.
type texts struct {
	buf  []byte
	rows int
}

func (c *texts) append(v []byte) {
	c.buf = appendLenPrefixed(c.buf, v)
	c.rows++
}

func (c *texts) reset()                       { c.buf, c.rows = c.buf[:0], 0 }
func (c *texts) size() int                    { return len(c.buf) }
func (c *texts) Type() proto.ColumnType       { return typeString }
func (c *texts) Rows() int                    { return c.rows }
func (c *texts) EncodeColumn(b *proto.Buffer) { b.PutRaw(c.buf) }
func (c *texts) WriteColumn(w *proto.Writer)  { w.ChainWrite(c.buf) }
func appendLenPrefixed(dst []byte, v []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(v))), v...)
}

// fixed is a FixedString(n) column.
type fixed struct {
	buf  []byte
	n    int
	kind proto.ColumnType
}

// append adds a value of n bytes; an empty one becomes n zero bytes.
func (c *fixed) append(v []byte) {
	if len(v) == 0 {
		var zero [16]byte
		v = zero[:c.n]
	}
	c.buf = append(c.buf, v...)
}

func (c *fixed) reset()                       { c.buf = c.buf[:0] }
func (c *fixed) size() int                    { return len(c.buf) }
func (c *fixed) Type() proto.ColumnType       { return c.kind }
func (c *fixed) Rows() int                    { return len(c.buf) / c.n }
func (c *fixed) EncodeColumn(b *proto.Buffer) { b.PutRaw(c.buf) }
func (c *fixed) WriteColumn(w *proto.Writer)  { w.ChainWrite(c.buf) }

// words is a column of little-endian integers of a width in bytes.
type words struct {
	buf   []byte
	width int
	kind  proto.ColumnType
}

func (c *words) append32(v uint32)            { c.buf = binary.LittleEndian.AppendUint32(c.buf, v) }
func (c *words) append64(v uint64)            { c.buf = binary.LittleEndian.AppendUint64(c.buf, v) }
func (c *words) reset()                       { c.buf = c.buf[:0] }
func (c *words) size() int                    { return len(c.buf) }
func (c *words) Type() proto.ColumnType       { return c.kind }
func (c *words) Rows() int                    { return len(c.buf) / c.width }
func (c *words) EncodeColumn(b *proto.Buffer) { b.PutRaw(c.buf) }
func (c *words) WriteColumn(w *proto.Writer)  { w.ChainWrite(c.buf) }

func newInt32() *words    { return &words{width: 4, kind: proto.ColumnTypeInt32} }
func newUint32() *words   { return &words{width: 4, kind: proto.ColumnTypeUInt32} }
func newUint64() *words   { return &words{width: 8, kind: proto.ColumnTypeUInt64} }
func newDateTime() *words { return &words{width: 8, kind: "DateTime64(9)"} }

// dict is a LowCardinality(String) column: a dictionary and an index per row.
// Looking a value up allocates nothing; a value equal to the one appended at
// the same place of the previous row is found without hashing (see hint).
type dict struct {
	words  texts    // the dictionary
	places []uint32 // where each word begins in words.buf, its length prefix skipped
	ends   []uint32
	hashes []uint64 // of the words, for tokens
	table  []uint32 // open addressing: word index + 1
	rows   []uint32
	seed   maphash.Seed
}

const dictMinTable = 1 << 8

func newDict() *dict { return &dict{seed: maphash.MakeSeed(), table: make([]uint32, dictMinTable)} }

func (c *dict) word(i uint32) []byte { return c.words.buf[c.places[i]:c.ends[i]] }

// intern gives the index of a word, which it adds if needed. hint is an index
// that may be the right one; any number will do.
func (c *dict) intern(v []byte, hint uint32) uint32 {
	if hint < uint32(len(c.places)) && string(c.word(hint)) == string(v) {
		return hint
	}
	mask := uint32(len(c.table) - 1)
	h := uint32(maphash.Bytes(c.seed, v)) & mask
	for ; c.table[h] != 0; h = (h + 1) & mask {
		if i := c.table[h] - 1; string(c.word(i)) == string(v) {
			return i
		}
	}
	i := uint32(len(c.places))
	c.words.append(v)
	end := uint32(len(c.words.buf))
	c.places = append(c.places, end-uint32(len(v)))
	c.ends = append(c.ends, end)
	c.hashes = append(c.hashes, xxhash.Sum64(v))
	c.table[h] = i + 1
	if len(c.places)*2 > len(c.table) {
		c.grow()
	}
	return i
}

func (c *dict) grow() {
	c.table = make([]uint32, 2*len(c.table))
	mask := uint32(len(c.table) - 1)
	for i := range c.places {
		h := uint32(maphash.Bytes(c.seed, c.word(uint32(i)))) & mask
		for c.table[h] != 0 {
			h = (h + 1) & mask
		}
		c.table[h] = uint32(i) + 1
	}
}

func (c *dict) append(v []byte) {
	hint := uint32(0)
	if n := len(c.rows); n > 0 {
		hint = c.rows[n-1]
	}
	c.rows = append(c.rows, c.intern(v, hint))
}

// use appends a row with a word that intern has given the index of.
func (c *dict) use(i uint32) { c.rows = append(c.rows, i) }

func (c *dict) reset() {
	c.words.reset()
	c.places, c.ends, c.hashes, c.rows = c.places[:0], c.ends[:0], c.hashes[:0], c.rows[:0]
	if len(c.table) > 1<<16 { // one block of wild names must not cost memory for ever
		c.table = make([]uint32, dictMinTable)
	}
	clear(c.table)
}

func (c *dict) size() int              { return len(c.words.buf) + 4*len(c.rows) }
func (c *dict) Type() proto.ColumnType { return typeDict }
func (c *dict) Rows() int              { return len(c.rows) }

// EncodeState writes the version of the dictionary format.
func (c *dict) EncodeState(b *proto.Buffer) { b.PutInt64(1) }

func (c *dict) EncodeColumn(b *proto.Buffer) {
	if len(c.rows) == 0 {
		return
	}
	c.head(b)
	b.PutRaw(c.words.buf)
	c.indexes(b)
}

func (c *dict) WriteColumn(w *proto.Writer) {
	if len(c.rows) == 0 {
		return
	}
	w.ChainBuffer(c.head)
	w.ChainWrite(c.words.buf)
	w.ChainBuffer(c.indexes)
}

// head writes the width of the indexes, that a dictionary follows
// (has additional keys, update dictionary), and its size.
func (c *dict) head(b *proto.Buffer) {
	const additionalKeys, updateDictionary = 1 << 9, 1 << 10
	b.PutInt64(additionalKeys | updateDictionary | int64(c.width()))
	b.PutInt64(int64(len(c.places)))
}

// width is 0, 1 or 2 for indexes of 1, 2 or 4 bytes.
func (c *dict) width() int {
	switch n := len(c.places); {
	case n <= 1<<8:
		return 0
	case n <= 1<<16:
		return 1
	}
	return 2
}

// indexes writes the index of each row. It keeps nothing, so that a column can
// be sent twice at a time.
func (c *dict) indexes(b *proto.Buffer) {
	b.PutInt64(int64(len(c.rows)))
	switch c.width() {
	case 0:
		for _, i := range c.rows {
			b.Buf = append(b.Buf, byte(i))
		}
	case 1:
		for _, i := range c.rows {
			b.Buf = binary.LittleEndian.AppendUint16(b.Buf, uint16(i))
		}
	default:
		for _, i := range c.rows {
			b.Buf = binary.LittleEndian.AppendUint32(b.Buf, i)
		}
	}
}

// attributes is a Map(LowCardinality(String), String) column.
type attributes struct {
	ends *words
	keys *dict
	vals texts
	// prev is where the keys of the row before begin: spans of one kind repeat
	// their keys in the same order.
	prev int
}

func newAttributes() *attributes { return &attributes{ends: newUint64(), keys: newDict()} }

// append adds a row.
func (c *attributes) append(list []attr) {
	start := len(c.keys.rows)
	for i := range list {
		hint := ^uint32(0)
		if p := c.prev + i; p < start {
			hint = c.keys.rows[p]
		}
		c.keys.rows = append(c.keys.rows, c.keys.intern(list[i].key, hint))
		c.vals.append(list[i].text)
	}
	c.prev = start
	c.ends.append64(uint64(len(c.keys.rows)))
}

func (c *attributes) reset() {
	c.ends.reset()
	c.keys.reset()
	c.vals.reset()
	c.prev = 0
}

func (c *attributes) size() int              { return c.ends.size() + c.keys.size() + c.vals.size() }
func (c *attributes) Type() proto.ColumnType { return typeMap }
func (c *attributes) Rows() int              { return c.ends.Rows() }

// EncodeState writes the state of the keys.
func (c *attributes) EncodeState(b *proto.Buffer) { c.keys.EncodeState(b) }

func (c *attributes) EncodeColumn(b *proto.Buffer) {
	c.ends.EncodeColumn(b)
	c.keys.EncodeColumn(b)
	c.vals.EncodeColumn(b)
}

func (c *attributes) WriteColumn(w *proto.Writer) {
	c.ends.WriteColumn(w)
	c.keys.WriteColumn(w)
	c.vals.WriteColumn(w)
}

// array is an Array column around a column that its owner appends to. close
// ends a row.
type array[C column] struct {
	ends *words
	of   C
}

// column is what a block is made of.
type column interface {
	proto.ColInput
	reset()
	size() int
}

func newArray[C column](of C) *array[C] { return &array[C]{ends: newUint64(), of: of} }

func (c *array[C]) close() { c.ends.append64(uint64(c.of.Rows())) }

func (c *array[C]) reset() {
	c.ends.reset()
	c.of.reset()
}

func (c *array[C]) size() int              { return c.ends.size() + c.of.size() }
func (c *array[C]) Type() proto.ColumnType { return "Array(" + c.of.Type() + ")" }
func (c *array[C]) Rows() int              { return c.ends.Rows() }

// EncodeState writes the state of the inner column, if it has one.
func (c *array[C]) EncodeState(b *proto.Buffer) {
	if s, ok := any(c.of).(proto.StateEncoder); ok {
		s.EncodeState(b)
	}
}

func (c *array[C]) EncodeColumn(b *proto.Buffer) {
	c.ends.EncodeColumn(b)
	c.of.EncodeColumn(b)
}

func (c *array[C]) WriteColumn(w *proto.Writer) {
	c.ends.WriteColumn(w)
	c.of.WriteColumn(w)
}
