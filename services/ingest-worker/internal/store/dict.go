package store

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/ClickHouse/ch-go/proto"
)

// dict is a LowCardinality(String) column: a dictionary and an index per row.
// It takes bytes and allocates only for words it has not seen, where ch-go's
// own column makes a string of every value.
type dict struct {
	seed  maphash.Seed
	words []byte   // each with its length before it
	spans []span   // where each word lies in words
	table []uint32 // open addressing: index of a word + 1
	rows  []uint32
	keys  []byte // rows as they are sent
}

type span struct{ from, to uint32 }

// minTable is the size of an empty table; a power of two.
const minTable = 1 << 8

func newDict() *dict { return &dict{seed: maphash.MakeSeed(), table: make([]uint32, minTable)} }

func (d *dict) append(v []byte) {
	if n := len(d.rows); n > 0 && string(d.word(d.rows[n-1])) == string(v) {
		d.rows = append(d.rows, d.rows[n-1])
		return
	}
	at := d.find(v)
	if d.table[at] == 0 {
		d.words = binary.AppendUvarint(d.words, uint64(len(v)))
		from := uint32(len(d.words))
		d.words = append(d.words, v...)
		d.spans = append(d.spans, span{from, uint32(len(d.words))})
		d.table[at] = uint32(len(d.spans))
	}
	d.rows = append(d.rows, d.table[at]-1)
	if len(d.spans)*2 > len(d.table) {
		d.grow()
	}
}

func (d *dict) word(i uint32) []byte { return d.words[d.spans[i].from:d.spans[i].to] }

// find returns the place of v in the table, or the free place for it.
func (d *dict) find(v []byte) uint32 {
	mask := uint32(len(d.table) - 1)
	at := uint32(maphash.Bytes(d.seed, v)) & mask
	for d.table[at] != 0 && string(d.word(d.table[at]-1)) != string(v) {
		at = (at + 1) & mask
	}
	return at
}

func (d *dict) grow() {
	d.table = make([]uint32, 2*len(d.table))
	for i := range d.spans {
		d.table[d.find(d.word(uint32(i)))] = uint32(i) + 1
	}
}

func (d *dict) reset() {
	d.words, d.spans, d.rows = d.words[:0], d.spans[:0], d.rows[:0]
	if len(d.table) > 1<<16 { // one block of wild words must not cost memory for ever
		d.table = make([]uint32, minTable)
		return
	}
	clear(d.table)
}

// Type implements proto.ColInput.
func (d *dict) Type() proto.ColumnType {
	return proto.ColumnTypeLowCardinality.Sub(proto.ColumnTypeString)
}

// Rows implements proto.ColInput.
func (d *dict) Rows() int { return len(d.rows) }

// EncodeState writes the version of the dictionary's form.
func (d *dict) EncodeState(b *proto.Buffer) { b.PutInt64(1) }

// EncodeColumn writes the flags, the dictionary and the indexes.
func (d *dict) EncodeColumn(b *proto.Buffer) {
	const additionalKeys, updateDictionary = 1 << 9, 1 << 10
	if len(d.rows) == 0 {
		return
	}
	width := d.encodeRows()
	b.PutInt64(additionalKeys | updateDictionary | width)
	b.PutInt64(int64(len(d.spans)))
	b.PutRaw(d.words)
	b.PutInt64(int64(len(d.rows)))
	b.PutRaw(d.keys)
}

// WriteColumn is for the native protocol, which we do not speak.
func (d *dict) WriteColumn(w *proto.Writer) { w.ChainBuffer(d.EncodeColumn) }

// encodeRows fills keys and returns ClickHouse's code for their width.
func (d *dict) encodeRows() int64 {
	d.keys = d.keys[:0]
	switch n := len(d.spans); {
	case n <= 1<<8:
		for _, i := range d.rows {
			d.keys = append(d.keys, byte(i))
		}
		return 0
	case n <= 1<<16:
		for _, i := range d.rows {
			d.keys = binary.LittleEndian.AppendUint16(d.keys, uint16(i))
		}
		return 1
	}
	for _, i := range d.rows {
		d.keys = binary.LittleEndian.AppendUint32(d.keys, i)
	}
	return 2
}

// lists is an Array column: values that its owner appends, cut into rows.
type lists[C proto.ColInput] struct {
	ends proto.ColUInt64
	of   C
}

// cut ends a row after what was appended to of since the last cut.
func (l *lists[C]) cut() { l.ends.Append(uint64(l.of.Rows())) }

// Type implements proto.ColInput.
func (l *lists[C]) Type() proto.ColumnType { return proto.ColumnTypeArray.Sub(l.of.Type()) }

// Rows implements proto.ColInput.
func (l *lists[C]) Rows() int { return l.ends.Rows() }

// EncodeState writes the state of the values, if they have one.
func (l *lists[C]) EncodeState(b *proto.Buffer) {
	if s, ok := any(l.of).(proto.StateEncoder); ok {
		s.EncodeState(b)
	}
}

// EncodeColumn writes the ends and the values.
func (l *lists[C]) EncodeColumn(b *proto.Buffer) {
	l.ends.EncodeColumn(b)
	l.of.EncodeColumn(b)
}

// WriteColumn is for the native protocol, which we do not speak.
func (l *lists[C]) WriteColumn(w *proto.Writer) { w.ChainBuffer(l.EncodeColumn) }
