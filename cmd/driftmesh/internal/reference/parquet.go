package reference

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// valuesAtOnce is how many values are taken from a page at a time.
const valuesAtOnce = 1024

func readParquet(r io.ReaderAt, size int64) ([]profile.Column, error) {
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fault.Invalid.Wrap(err, "the file is not a readable Parquet file")
	}
	if rows := file.NumRows(); rows > profile.MaxRows {
		return nil, &profile.Error{Rule: "MAX_ROWS", Detail: fmt.Sprintf("%d rows, more than %d; take a sample", rows, profile.MaxRows)}
	}
	fields := file.Root().Columns()
	columns := make([]profile.Column, len(fields))
	for i, field := range fields {
		columns[i].Name = field.Name()
		if columns[i].Type, err = typeOf(field); err != nil {
			return nil, err
		}
		integer, ok := logicalOf(field.Type()).(*format.IntType)
		unsigned := ok && !integer.IsSigned
		for _, group := range file.RowGroups() {
			if err := readChunk(&columns[i], group.ColumnChunks()[field.Index()], unsigned); err != nil {
				return nil, fault.Invalid.Wrap(err, "column %q of the Parquet file cannot be read", field.Name())
			}
		}
	}
	return columns, nil
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

func readChunk(col *profile.Column, chunk parquet.ColumnChunk, unsigned bool) (err error) {
	pages := chunk.Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = readPage(col, page, unsigned)
		parquet.Release(page)
		if err != nil {
			return err
		}
	}
}

func readPage(col *profile.Column, page parquet.Page, unsigned bool) error {
	values := page.Values()
	buffer := make([]parquet.Value, valuesAtOnce)
	for {
		n, err := values.ReadValues(buffer)
		for _, v := range buffer[:n] {
			add(col, v, unsigned)
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
func add(col *profile.Column, v parquet.Value, unsigned bool) {
	rows := col.Len()
	if v.IsNull() && col.Missing == nil {
		col.Missing = make([]bool, rows)
	}
	if col.Missing != nil {
		col.Missing = append(col.Missing, v.IsNull())
	}
	if col.Type.Kind() == profile.Numeric {
		col.Numbers = append(col.Numbers, number(v, unsigned))
		return
	}
	text := ""
	switch {
	case v.IsNull():
	case col.Type == profile.Bool:
		text = strconv.FormatBool(v.Boolean())
	default:
		text = string(v.ByteArray())
	}
	col.Texts = append(col.Texts, text)
}

func number(v parquet.Value, unsigned bool) float64 {
	switch {
	case v.IsNull():
		return 0
	case v.Kind() == parquet.Int32 && unsigned:
		return float64(v.Uint32())
	case v.Kind() == parquet.Int32:
		return float64(v.Int32())
	case v.Kind() == parquet.Int64 && unsigned:
		return float64(v.Uint64())
	case v.Kind() == parquet.Int64:
		return float64(v.Int64())
	case v.Kind() == parquet.Float:
		return float64(v.Float())
	}
	return v.Double()
}
