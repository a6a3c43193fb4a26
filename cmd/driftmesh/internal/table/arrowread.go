package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// arrowCodec is how buffers are packed.
type arrowCodec byte

const (
	arrowPlain arrowCodec = iota
	arrowLZ4
	arrowZstd
)

// maxArrowBuffer bounds one buffer of one column.
const maxArrowBuffer = 1 << 31

func number(n int) string { return strconv.Itoa(n) }

// arrowReader appends the values of a column, part by part.
type arrowReader struct {
	table   *arrowTable
	field   *arrowField
	texts   profile.Texts
	entries *Column // of the dictionary as it is now
	loaded  bool    // all dictionaries of a file
}

// read appends the values of part k, or takes it in when it is the dictionary.
func (r *arrowReader) read(ctx context.Context, k int, to *Column) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.table.file && r.field.dictionary != nil && !r.loaded {
		r.loaded = true
		for i := range r.table.parts {
			if err := r.dictionary(&r.table.parts[i]); err != nil {
				return err
			}
		}
	}
	p := &r.table.parts[k]
	if p.dictionary {
		if r.table.file {
			return nil
		}
		return r.dictionary(p)
	}
	f := r.field
	if f.dictionary == nil {
		return r.values(p, f.of, f.node, f.buffer, f.view, to)
	}
	if r.entries == nil {
		return errors.New("its dictionary is missing")
	}
	indexes := Column{Column: profile.Column{Type: profile.Int}}
	if err := r.values(p, f.of, f.node, f.buffer, f.view, &indexes); err != nil {
		return err
	}
	return r.lookUp(&indexes, to)
}

// dictionary takes a dictionary in, if it is the column's.
func (r *arrowReader) dictionary(p *arrowPart) error {
	if !p.dictionary || r.field.dictionary == nil || p.id != r.field.id {
		return nil
	}
	if r.entries == nil || !p.delta {
		entries := r.field.empty(new(Column))
		r.entries = &entries
	}
	return r.values(p, *r.field.dictionary, 0, 0, 0, r.entries)
}

func (r *arrowReader) lookUp(indexes, to *Column) error {
	for row, v := range indexes.Numbers {
		i, none := int(v), indexes.Missing != nil && indexes.Missing[row]
		if !none && (i < 0 || i >= r.entries.Len()) {
			return fmt.Errorf("its dictionary has no entry %d", i)
		}
		none = none || r.entries.Missing != nil && r.entries.Missing[i]
		if none && to.Missing == nil {
			to.Missing = make([]bool, to.Len())
		}
		if to.Missing != nil {
			to.Missing = append(to.Missing, none)
		}
		if none {
			i = -1
		}
		switch {
		case to.Type == "":
			to.Times = append(to.Times, entry(r.entries.Times, i))
		case to.Type.Kind() == profile.Numeric:
			to.Numbers = append(to.Numbers, entry(r.entries.Numbers, i))
		default:
			to.Texts = append(to.Texts, entry(r.entries.Texts, i))
		}
	}
	return nil
}

func entry[T any](of []T, i int) (v T) {
	if i >= 0 {
		v = of[i]
	}
	return v
}

// values appends the values of a field of a part.
func (r *arrowReader) values(p *arrowPart, s arrowScalar, node, buffer, view int, to *Column) error {
	if node >= len(p.nodes) || p.nodes[node] < 0 || p.nodes[node] > profile.MaxRows || !p.dictionary && p.nodes[node] != p.rows {
		return errors.New("the numbers of its rows do not agree")
	}
	if view > len(p.variadic) {
		return errors.New("the numbers of its buffers do not agree")
	}
	for _, before := range p.variadic[:view] { // of views, which have any number
		if before < 0 || before > int64(len(p.buffers)) {
			return errFlat
		}
		buffer += int(before)
	}
	n, before := p.nodes[node], to.Len()
	if s.is == arrowNull {
		to.Texts = append(to.Texts, make([]string, n)...)
		return mark(to, before, func(int) bool { return false })
	}
	valid, err := r.buffer(p, buffer)
	if err != nil {
		return err
	}
	if len(valid) > 0 && len(valid) < (n+7)/8 {
		return errors.New("its marks of missing values are too few")
	}
	present := func(row int) bool { return len(valid) == 0 || valid[row/8]>>(row%8)&1 == 1 }
	switch s.is {
	case arrowUTF8, arrowLargeUTF8:
		err = r.strings(p, s, buffer, n, present, to)
	case arrowUTF8View:
		err = r.views(p, buffer, view, n, present, to)
	default:
		err = r.fixed(p, s, buffer, n, to)
	}
	if err != nil || len(valid) == 0 && to.Missing == nil {
		return err
	}
	return mark(to, before, present)
}

// mark marks the rows from before on that are missing.
func mark(c *Column, before int, present func(row int) bool) error {
	if c.Missing == nil {
		c.Missing = make([]bool, before, c.Len())
	}
	for row := range c.Len() - before {
		c.Missing = append(c.Missing, !present(row))
	}
	return nil
}

// fixed appends values that take the same number of bytes each.
func (r *arrowReader) fixed(p *arrowPart, s arrowScalar, buffer, n int, to *Column) error {
	data, err := r.buffer(p, buffer+1)
	if err != nil {
		return err
	}
	if len(data) < (n*s.bits+7)/8 {
		return errors.New("its values are too few")
	}
	switch {
	case s.is == arrowBool:
		for row := range n {
			to.Texts = append(to.Texts, strconv.FormatBool(data[row/8]>>(row%8)&1 == 1))
		}
	case s.unit > 0:
		to.Times = slices.Grow(to.Times, n)
		for row := range n {
			var v int64
			if s.bits == 32 {
				v = int64(int32(binary.LittleEndian.Uint32(data[4*row:]))) //nolint:gosec // its bits
			} else {
				v = int64(binary.LittleEndian.Uint64(data[8*row:])) //nolint:gosec // its bits
			}
			to.Times = append(to.Times, v*int64(s.unit))
		}
	case s.is == arrowDecimal:
		for row := range n {
			to.Numbers = append(to.Numbers, littleDecimal(data[row*s.bits/8:][:s.bits/8], s.scale))
		}
	default:
		to.Numbers = appendFixed(slices.Grow(to.Numbers, n), data, s, n)
	}
	return nil
}

func littleDecimal(b []byte, scale int) float64 {
	b = slices.Clone(b)
	slices.Reverse(b)
	return scaled(twosComplement(b), scale)
}

func appendFixed(to []float64, data []byte, s arrowScalar, n int) []float64 {
	le := binary.LittleEndian
	var read func(int) float64
	float := s.is == arrowFloat
	switch {
	case float && s.bits == 64:
		read = func(i int) float64 { return math.Float64frombits(le.Uint64(data[8*i:])) }
	case float && s.bits == 32:
		read = func(i int) float64 { return float64(math.Float32frombits(le.Uint32(data[4*i:]))) }
	case float:
		read = func(i int) float64 { return float16(le.Uint16(data[2*i:])) }
	case s.bits == 8 && s.unsigned:
		read = func(i int) float64 { return float64(data[i]) }
	case s.bits == 8:
		read = func(i int) float64 { return float64(int8(data[i])) } //nolint:gosec // its bits
	case s.bits == 16 && s.unsigned:
		read = func(i int) float64 { return float64(le.Uint16(data[2*i:])) }
	case s.bits == 16:
		read = func(i int) float64 { return float64(int16(le.Uint16(data[2*i:]))) } //nolint:gosec // its bits
	case s.bits == 32 && s.unsigned:
		read = func(i int) float64 { return float64(le.Uint32(data[4*i:])) }
	case s.bits == 32:
		read = func(i int) float64 { return float64(int32(le.Uint32(data[4*i:]))) } //nolint:gosec // its bits
	case s.unsigned:
		read = func(i int) float64 { return float64(le.Uint64(data[8*i:])) }
	default:
		read = func(i int) float64 { return float64(int64(le.Uint64(data[8*i:]))) } //nolint:gosec // its bits
	}
	for i := range n {
		to = append(to, read(i))
	}
	return to
}

// strings appends texts that stand end to end, with the offsets of their ends.
func (r *arrowReader) strings(p *arrowPart, s arrowScalar, buffer, n int, present func(int) bool, to *Column) error {
	offsets, err := r.buffer(p, buffer+1)
	if err != nil {
		return err
	}
	data, err := r.buffer(p, buffer+2)
	if err != nil {
		return err
	}
	at := func(i int) int { return int(binary.LittleEndian.Uint32(offsets[4*i:])) }
	width := 4
	if s.is == arrowLargeUTF8 {
		width, at = 8, func(i int) int { return int(binary.LittleEndian.Uint64(offsets[8*i:])) } //nolint:gosec // checked below
	}
	if n > 0 && len(offsets) < (n+1)*width {
		return errors.New("its texts are too few")
	}
	for i := range n {
		text := ""
		if present(i) {
			from, end := at(i), at(i+1)
			if from < 0 || from > end || end > len(data) {
				return errors.New("a text stands outside its data")
			}
			text = r.texts.Of(data[from:end])
		}
		to.Texts = append(to.Texts, text)
	}
	return nil
}

// inView is how long a text may be that stands in its view.
const inView = 12

// views appends texts of which short ones stand in the list itself, and of long
// ones the number of a buffer and a place in it.
func (r *arrowReader) views(p *arrowPart, buffer, view, n int, present func(int) bool, to *Column) error {
	list, err := r.buffer(p, buffer+1)
	if err != nil {
		return err
	}
	if view >= len(p.variadic) || p.variadic[view] < 0 || p.variadic[view] > int64(len(p.buffers)) || len(list) < 16*n {
		return errors.New("its texts are too few")
	}
	data := make([][]byte, p.variadic[view])
	for i := range data {
		if data[i], err = r.buffer(p, buffer+2+i); err != nil {
			return err
		}
	}
	for i := range n {
		text := ""
		if v := list[16*i : 16*i+16]; present(i) {
			length := int(binary.LittleEndian.Uint32(v))
			if length <= inView {
				text = r.texts.Of(v[4 : 4+length])
			} else {
				which, from := int(binary.LittleEndian.Uint32(v[8:])), int(binary.LittleEndian.Uint32(v[12:]))
				if which >= len(data) || from > len(data[which]) || length > len(data[which])-from {
					return errors.New("a text stands outside its data")
				}
				text = r.texts.Of(data[which][from : from+length])
			}
		}
		to.Texts = append(to.Texts, text)
	}
	return nil
}

// buffer reads a buffer of a part, and unpacks it.
func (r *arrowReader) buffer(p *arrowPart, i int) ([]byte, error) {
	if i >= len(p.buffers) {
		return nil, errors.New("a buffer is missing")
	}
	b := p.buffers[i]
	if b.length == 0 {
		return nil, nil
	}
	if b.offset < 0 || b.length < 0 || b.offset > p.size || b.length > p.size-b.offset || b.length > maxArrowBuffer {
		return nil, errFlat
	}
	data := make([]byte, b.length)
	if _, err := r.table.at.ReadAt(data, p.body+b.offset); err != nil {
		return nil, err
	}
	if p.codec == arrowPlain {
		return data, nil
	}
	if len(data) < 8 {
		return nil, errors.New("a packed buffer is too short")
	}
	size := int64(binary.LittleEndian.Uint64(data)) //nolint:gosec // its bits
	data = data[8:]
	if size == -1 { // it would not have become smaller
		return data, nil
	}
	if size < 0 || size > maxArrowBuffer {
		return nil, errors.New("a packed buffer is too large")
	}
	return unpack(data, p.codec, size)
}

func unpack(data []byte, codec arrowCodec, size int64) ([]byte, error) {
	var from io.Reader
	switch codec {
	case arrowLZ4:
		from = lz4.NewReader(bytes.NewReader(data))
	case arrowZstd:
		z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		from = z
	default:
		return nil, errors.New("its buffers are packed in an unknown way")
	}
	var out bytes.Buffer // it grows with what there is, whatever size says
	n, err := io.Copy(&out, io.LimitReader(from, size+1))
	if err != nil {
		return nil, err
	}
	if n != size {
		return nil, fmt.Errorf("a packed buffer has not the %d bytes that it says", size)
	}
	return out.Bytes(), nil
}

// float16 is the number that IEEE 754 binary16 says.
func float16(bits uint16) float64 {
	sign, exponent, fraction := 1.0, int(bits>>10&0x1f), float64(bits&0x3ff)
	if bits>>15 == 1 {
		sign = -1
	}
	switch {
	case exponent == 0x1f && fraction != 0:
		return math.NaN()
	case exponent == 0x1f:
		return math.Inf(int(sign))
	case exponent == 0:
		return sign * math.Ldexp(fraction, -24)
	}
	return sign * math.Ldexp(fraction+1024, exponent-25)
}
