package reference

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

const (
	// valuesAtOnce is how many values are taken from a page at a time.
	valuesAtOnce = 1024
	// readAtOnce is how much of a column is read from the file at a time.
	readAtOnce = 256 << 10
)

func openParquet(r io.ReaderAt, size int64) (*parquet.File, error) {
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(readAtOnce))
	if err != nil {
		return nil, fault.Invalid.Wrap(err, "the file is not a readable Parquet file")
	}
	if rows := file.NumRows(); rows > profile.MaxRows {
		return nil, &profile.Error{Rule: "MAX_ROWS", Detail: fmt.Sprintf("%d rows, more than %d; take a sample", rows, profile.MaxRows)}
	}
	return file, nil
}

func readParquet(ctx context.Context, r io.ReaderAt, size int64) ([]profile.Column, error) {
	file, err := openParquet(r, size)
	if err != nil {
		return nil, err
	}
	fields := file.Root().Columns()
	columns := make([]profile.Column, len(fields))
	for i, field := range fields {
		texts := profile.Texts{Different: math.MaxInt}
		if err := readColumn(ctx, file, field, texts, &columns[i]); err != nil {
			return nil, err
		}
	}
	return columns, nil
}

// profileParquet makes a profile of a file, whose columns it reads one by one.
func profileParquet(ctx context.Context, r io.ReaderAt, size int64, opts profile.Options, report func(Progress)) (*profile.Profile, error) {
	file, err := openParquet(r, size)
	if err != nil {
		return nil, err
	}
	fields := file.Root().Columns()
	names := make([]string, len(fields))
	for i, field := range fields {
		names[i] = field.Name()
	}
	builder, err := profile.NewBuilder(names, opts)
	if err != nil {
		return nil, err
	}
	var column profile.Column
	for i, field := range fields {
		report(Progress{Stage: Columns, Done: int64(i), Total: int64(len(fields))})
		if !builder.Wants(field.Name()) {
			continue
		}
		if err := readColumn(ctx, file, field, profile.Texts{}, &column); err != nil {
			return nil, err
		}
		if err := builder.Add(&column); err != nil {
			return nil, err
		}
	}
	return builder.Profile()
}

// readColumn reads a column into col, whose slices it uses again.
func readColumn(ctx context.Context, file *parquet.File, field *parquet.Column, texts profile.Texts, col *profile.Column) error {
	t, err := typeOf(field)
	if err != nil {
		return err
	}
	*col = profile.Column{Name: field.Name(), Type: t, Numbers: col.Numbers[:0], Texts: col.Texts[:0]}
	integer, ok := logicalOf(field.Type()).(*format.IntType)
	reader := columnReader{
		col: col, rows: int(file.NumRows()), kind: field.Type().Kind(), unsigned: ok && !integer.IsSigned, texts: texts,
	}
	for _, group := range file.RowGroups() {
		err := reader.readChunk(ctx, group.ColumnChunks()[field.Index()])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fault.Invalid.Wrap(err, "column %q of the Parquet file cannot be read", field.Name())
		}
	}
	return nil
}

// typeOf is the type that the column's values have for a profile.
func typeOf(c *parquet.Column) (profile.ValueType, error) {
	refuse := func(what string) error {
		return &profile.Error{Column: c.Name(), Rule: "PARQUET_TYPE", Detail: what + " cannot be a feature; leave the column out or convert it"}
	}
	if !c.Leaf() || c.Repeated() {
		return "", refuse("a nested or repeated column")
	}
	logical := logicalOf(c.Type())
	switch c.Type().Kind() {
	case parquet.Boolean:
		return profile.Bool, nil
	case parquet.Float, parquet.Double:
		return profile.Float, nil
	case parquet.Int32, parquet.Int64:
		if _, plain := logical.(*format.IntType); logical != nil && !plain {
			return "", refuse("a number that stands for a " + logical.String())
		}
		return profile.Int, nil
	case parquet.ByteArray:
		switch logical.(type) {
		case nil, *format.StringType, *format.EnumType, *format.JsonType:
			return profile.String, nil
		}
		return "", refuse("a " + logical.String())
	default: // Int96, an old form of timestamps, and FixedLenByteArray
		return "", refuse("a column of type " + c.Type().String())
	}
}

// logicalOf is what the stored values stand for; nil when for themselves.
func logicalOf(t parquet.Type) format.LogicalTypeValue {
	if logical := t.LogicalType(); logical != nil {
		return logical.Value
	}
	return nil
}

// columnReader appends the values of a column's pages.
type columnReader struct {
	col      *profile.Column
	rows     int // of the file
	kind     parquet.Kind
	unsigned bool
	texts    profile.Texts

	dictionary parquet.Dictionary
	entries    []float64 // of the dictionary
	buffer     []parquet.Value
}

func (r *columnReader) readChunk(ctx context.Context, chunk parquet.ColumnChunk) (err error) {
	r.dictionary = nil
	pages := chunk.Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	for ctx.Err() == nil {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.col.Type.Kind() == profile.Numeric {
			err = r.readNumbers(page)
		} else {
			err = r.readTexts(page)
		}
		parquet.Release(page)
		if err != nil {
			return err
		}
	}
	return ctx.Err()
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
	switch {
	case r.kind == parquet.Double:
		return append(to, values.Double()...)
	case r.kind == parquet.Float:
		return appendAs(to, values.Float())
	case r.kind == parquet.Int32 && r.unsigned:
		return appendAs(to, values.Uint32())
	case r.kind == parquet.Int32:
		return appendAs(to, values.Int32())
	case r.unsigned:
		return appendAs(to, values.Uint64())
	}
	return appendAs(to, values.Int64())
}

func appendAs[T int32 | int64 | uint32 | uint64 | float32](to []float64, values []T) []float64 {
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

func (r *columnReader) readTexts(page parquet.Page) error {
	if r.buffer == nil {
		r.buffer = make([]parquet.Value, valuesAtOnce)
	}
	values := page.Values()
	for {
		n, err := values.ReadValues(r.buffer)
		for _, v := range r.buffer[:n] {
			r.addText(v)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// addText appends one value; the marks of missing values begin with the first.
func (r *columnReader) addText(v parquet.Value) {
	col := r.col
	if v.IsNull() && col.Missing == nil {
		col.Missing = make([]bool, len(col.Texts), max(r.rows, len(col.Texts)))
	}
	if col.Missing != nil {
		col.Missing = append(col.Missing, v.IsNull())
	}
	text := ""
	switch {
	case v.IsNull():
	case col.Type == profile.Bool:
		text = strconv.FormatBool(v.Boolean())
	default:
		text = r.texts.Of(v.ByteArray())
	}
	col.Texts = append(col.Texts, text)
}
