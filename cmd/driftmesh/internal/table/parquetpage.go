package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// valuesAtOnce is how many values are taken from a page at a time.
const valuesAtOnce = 1024

// append appends the values of a page.
func (r *columnReader) append(page parquet.Page) error {
	if r.kind.number == nil && r.kind.time == nil && r.col.Type.Kind() == profile.Numeric {
		return r.readNumbers(page)
	}
	return r.readValues(page)
}

func (r *columnReader) readNumbers(page parquet.Page) error {
	if r.col.Numbers == nil {
		r.col.Numbers = make([]float64, 0, r.rows)
	}
	start := len(r.col.Numbers)
	if dictionary := page.Dictionary(); dictionary == nil {
		r.col.Numbers = r.appendNumbers(r.col.Numbers, page.Data())
	} else {
		if dictionary != r.dictionary {
			r.dictionary, r.entries = dictionary, r.appendNumbers(r.entries[:0], dictionary.Page().Data())
		}
		indexes := page.Data()
		for _, i := range indexes.Int32() {
			r.col.Numbers = append(r.col.Numbers, r.entries[i])
		}
	}
	return r.spread(start, page.DefinitionLevels())
}

func (r *columnReader) appendNumbers(to []float64, values encoding.Values) []float64 {
	switch k := r.kind; {
	case k.stored == parquet.Double:
		return append(to, values.Double()...)
	case k.stored == parquet.Float:
		return appendAs(to, values.Float())
	case k.stored == parquet.Int32 && k.unsigned:
		return appendAs(to, values.Uint32())
	case k.stored == parquet.Int32:
		return appendAs(to, values.Int32())
	case k.unsigned:
		return appendAs(to, values.Uint64())
	}
	return appendAs(to, values.Int64())
}

func appendAs[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32](to []float64, values []T) []float64 {
	for _, v := range values {
		to = append(to, float64(v))
	}
	return to
}

// spread moves the numbers from start on, which are those of the rows that have
// one, to their rows. Levels say which have: 1, or no levels at all.
func (r *columnReader) spread(start int, levels []byte) error {
	col, rows := r.col, len(r.col.Numbers)-start
	if len(levels) > 0 {
		if present := bytes.Count(levels, []byte{1}); present != rows {
			return fmt.Errorf("a page has %d values where it says %d", rows, present)
		}
		if len(levels) > rows && col.Missing == nil {
			col.Missing = make([]bool, start, max(r.rows, start))
		}
	}
	if col.Missing == nil {
		return nil
	}
	if len(levels) == 0 {
		col.Missing = append(col.Missing, make([]bool, rows)...)
		return nil
	}
	from := len(col.Numbers)
	col.Numbers = append(col.Numbers, make([]float64, len(levels)-rows)...)
	for i := len(levels) - 1; i >= 0; i-- {
		v := 0.0
		if levels[i] == 1 {
			from--
			v = col.Numbers[from]
		}
		col.Numbers[start+i] = v
	}
	for _, level := range levels {
		col.Missing = append(col.Missing, level != 1)
	}
	return nil
}

func (r *columnReader) readValues(page parquet.Page) error {
	if r.buffer == nil {
		r.buffer = make([]parquet.Value, valuesAtOnce)
	}
	values := page.Values()
	for {
		n, err := values.ReadValues(r.buffer)
		for _, v := range r.buffer[:n] {
			r.add(v)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// add appends one value; the marks of missing values begin with the first.
func (r *columnReader) add(v parquet.Value) {
	col, none := r.col, v.IsNull()
	if none && col.Missing == nil {
		col.Missing = make([]bool, col.Len(), max(r.rows, col.Len()))
	}
	if col.Missing != nil {
		col.Missing = append(col.Missing, none)
	}
	switch {
	case r.kind.time != nil:
		at := int64(0)
		if !none {
			at = r.kind.time(v)
		}
		col.Times = append(col.Times, at)
	case r.kind.number != nil:
		number := 0.0
		if !none {
			number = r.kind.number(v)
		}
		col.Numbers = append(col.Numbers, number)
	default:
		col.Texts = append(col.Texts, r.text(v))
	}
}

func (r *columnReader) text(v parquet.Value) string {
	switch {
	case v.IsNull():
		return ""
	case r.col.Type == profile.Bool:
		return strconv.FormatBool(v.Boolean())
	}
	return r.texts.Of(v.ByteArray())
}
