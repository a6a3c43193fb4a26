package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// The kinds of Arrow messages that a table is made of.
const (
	arrowSchema     = 1
	arrowDictionary = 2
	arrowBatch      = 3
)

// maxArrowMessage bounds what a file says of its data, not the data.
const maxArrowMessage = 64 << 20

// arrowTable is a file or a stream of Arrow record batches. Of each column only
// its own buffers are read.
type arrowTable struct {
	at     io.ReaderAt
	opts   Options
	fields []arrowField
	parts  []arrowPart
	rows   int
	// file tells a file, whose dictionaries may stand anywhere, from a stream.
	file   bool
	closed func() error
}

// arrowPart is a record batch or a dictionary: where its bytes are.
type arrowPart struct {
	dictionary bool
	id         int64 // of the dictionary
	delta      bool
	rows       int
	body       int64
	size       int64
	nodes      []int // rows of each field
	buffers    []arrowBuffer
	codec      arrowCodec
	variadic   []int64
}

type arrowBuffer struct{ offset, length int64 }

func openArrow(s source, opts Options) (t Table, err error) {
	defer damaged("Arrow", &err)
	table := &arrowTable{at: s.at, opts: opts, closed: s.close}
	if err := table.scan(s.size); err != nil {
		var broken *profile.Error
		if errors.As(err, &broken) {
			return nil, err
		}
		return nil, fault.Invalid.Wrap(err, "%s is not a readable Arrow file: %v", s.name, err)
	}
	return table, nil
}

// scan reads all messages, but not what they are about.
func (t *arrowTable) scan(size int64) error {
	var begin [8]byte
	if _, err := t.at.ReadAt(begin[:], 0); err != nil {
		return err
	}
	place := int64(0)
	if bytes.HasPrefix(begin[:], arrowMark) {
		place, t.file = int64(len(begin)), true
	}
	for place < size {
		message, body, err := t.message(place, size)
		if err != nil {
			return err
		}
		if message == nil {
			break
		}
		m := root(message)
		length := m.int64(3)
		if length < 0 || length > size-body {
			return errFlat
		}
		if err := t.take(m, body, length); err != nil {
			return err
		}
		if m.message.damaged {
			return errFlat
		}
		place = body + (length+7)/8*8
	}
	if t.fields == nil {
		return errors.New("it has no schema")
	}
	return nil
}

// message reads what stands at a place, and where its body begins; nil at the
// end.
func (t *arrowTable) message(place, size int64) (message []byte, body int64, err error) {
	var head [8]byte
	if n, err := t.at.ReadAt(head[:], place); n < len(head) {
		if errors.Is(err, io.EOF) {
			return nil, 0, nil // a stream may simply stop
		}
		return nil, 0, err
	}
	if binary.LittleEndian.Uint32(head[:]) != 0xffffffff {
		return nil, 0, errors.New("a message does not begin where it should")
	}
	length := int64(binary.LittleEndian.Uint32(head[4:]))
	if length == 0 {
		return nil, 0, nil
	}
	body = place + int64(len(head)) + length
	if length > maxArrowMessage || body > size {
		return nil, 0, errFlat
	}
	message = make([]byte, length)
	if _, err := t.at.ReadAt(message, place+int64(len(head))); err != nil {
		return nil, 0, err
	}
	return message, body, nil
}

func (t *arrowTable) take(m flat, body, length int64) error {
	content, _ := m.table(2)
	switch m.byte(1) {
	case arrowSchema:
		if t.fields != nil {
			return errors.New("it has two schemas")
		}
		if content.int16(0, 0) != 0 {
			return errors.New("its numbers are big-endian")
		}
		t.fields = arrowFields(content)
	case arrowDictionary:
		data, _ := content.table(1)
		p := partOf(data, body, length)
		p.dictionary, p.id, p.delta = true, content.int64(0), content.bool(2)
		t.parts = append(t.parts, p)
	case arrowBatch:
		p := partOf(content, body, length)
		if t.rows += p.rows; t.rows > profile.MaxRows || p.rows < 0 {
			return &profile.Error{Rule: "MAX_ROWS", Detail: fmt.Sprintf("more than %d rows; take a sample", profile.MaxRows)}
		}
		t.parts = append(t.parts, p)
	}
	return nil
}

func partOf(batch flat, body, length int64) arrowPart {
	p := arrowPart{rows: int(batch.int64(0)), body: body, size: length}
	at, n := batch.list(1, 16)
	for i := range n {
		p.nodes = append(p.nodes, int(batch.message.i64(at+16*i)))
	}
	at, n = batch.list(2, 16)
	for i := range n {
		p.buffers = append(p.buffers, arrowBuffer{batch.message.i64(at + 16*i), batch.message.i64(at + 16*i + 8)})
	}
	if compression, there := batch.table(3); there {
		p.codec = arrowCodec(compression.byte(0) + 1)
	}
	at, n = batch.list(4, 8)
	for i := range n {
		p.variadic = append(p.variadic, batch.message.i64(at+8*i))
	}
	return p
}

// Fields implements [Table].
func (t *arrowTable) Fields() []Field {
	fields := make([]Field, len(t.fields))
	for i := range t.fields {
		fields[i] = t.fields[i].Field
	}
	return fields
}

// Columns implements [Table].
func (t *arrowTable) Columns(ctx context.Context, names []string, take func(*Column) error) (err error) {
	defer damaged("Arrow", &err)
	places, err := find(t.Fields(), names)
	if err != nil {
		return err
	}
	var column Column
	for i, place := range places {
		t.opts.Report(Progress{Stage: Columns, Done: int64(i), Total: int64(len(places))})
		field := &t.fields[place]
		column = field.empty(&column)
		r := arrowReader{table: t, field: field, texts: profile.Texts{Different: t.different(names[i])}}
		for k := range t.parts {
			if err := r.read(ctx, k, &column); err != nil {
				return unreadable(ctx, err, "Arrow", names[i])
			}
		}
		if err := take(&column); err != nil {
			return err
		}
	}
	return nil
}

func (t *arrowTable) different(name string) int {
	if slices.Contains(t.opts.Whole, name) {
		return everyText
	}
	return 0
}

// Rows implements [Table]. It holds the wanted columns of one record batch.
func (t *arrowTable) Rows(ctx context.Context, names []string, take func([]Column) error) (err error) {
	defer damaged("Arrow", &err)
	places, err := find(t.Fields(), names)
	if err != nil {
		return err
	}
	readers, whole, part := make([]arrowReader, len(places)), make([]Column, len(places)), make([]Column, len(places))
	for i, place := range places {
		readers[i] = arrowReader{table: t, field: &t.fields[place], texts: profile.Texts{Different: everyText}}
	}
	done := 0
	for k := range t.parts {
		for i := range readers {
			if !t.parts[k].dictionary {
				whole[i] = readers[i].field.empty(&whole[i])
			}
			if err := readers[i].read(ctx, k, &whole[i]); err != nil {
				return unreadable(ctx, err, "Arrow", names[i])
			}
		}
		if t.parts[k].dictionary {
			continue
		}
		for from := 0; from < t.parts[k].rows; from += rowsAtOnce {
			t.opts.Report(Progress{Stage: Rows, Done: int64(done + from), Total: int64(t.rows)})
			for i := range whole {
				part[i] = whole[i].slice(from, min(from+rowsAtOnce, t.parts[k].rows))
			}
			if err := take(part); err != nil {
				return err
			}
		}
		done += t.parts[k].rows
	}
	return nil
}

// Close implements [Table].
func (t *arrowTable) Close() error {
	if t.closed == nil {
		return nil
	}
	return t.closed()
}
