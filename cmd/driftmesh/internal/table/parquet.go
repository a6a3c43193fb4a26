package table

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// readAtOnce is how much of a column is read from the file at a time.
const readAtOnce = 256 << 10

// parquetTable is a Parquet file.
type parquetTable struct {
	file   *parquet.File
	opts   Options
	fields []Field
	kinds  []parquetKind
	closed func() error
}

func openParquet(s source, opts Options) (t Table, err error) {
	defer damaged("Parquet", &err)
	file, err := parquet.OpenFile(s.at, s.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(readAtOnce))
	if err != nil {
		return nil, fault.Invalid.Wrap(err, "%s is not a readable Parquet file", s.name)
	}
	if rows := file.NumRows(); rows > profile.MaxRows {
		return nil, &profile.Error{Rule: "MAX_ROWS", Detail: fmt.Sprintf("%d rows, more than %d; take a sample", rows, profile.MaxRows)}
	}
	table := &parquetTable{file: file, opts: opts, closed: s.close}
	for _, column := range file.Root().Columns() {
		kind, problem := kindOf(column)
		table.kinds = append(table.kinds, kind)
		table.fields = append(table.fields, Field{Name: column.Name(), Type: kind.as, Time: kind.time != nil, Problem: problem})
	}
	return table, nil
}

// Fields implements [Table].
func (t *parquetTable) Fields() []Field { return slices.Clone(t.fields) }

// Columns implements [Table].
func (t *parquetTable) Columns(ctx context.Context, names []string, take func(*Column) error) (err error) {
	defer damaged("Parquet", &err)
	places, err := find(t.fields, names)
	if err != nil {
		return err
	}
	var column Column
	for i, place := range places {
		t.opts.Report(Progress{Stage: Columns, Done: int64(i), Total: int64(len(places))})
		r := t.reader(place, &column, profile.Texts{Different: t.different(names[i])})
		r.rows = int(t.file.NumRows())
		for {
			more, err := r.readPage(ctx)
			if err != nil {
				return errors.Join(unreadable(ctx, err, "Parquet", names[i]), r.close())
			}
			if !more {
				break
			}
		}
		if err := take(&column); err != nil {
			return err
		}
	}
	return nil
}

// different is how many texts of a column are held.
func (t *parquetTable) different(name string) int {
	if slices.Contains(t.opts.Whole, name) {
		return everyText
	}
	return 0
}

// everyText is as many different texts as there are.
const everyText = int(^uint(0) >> 1)

// reader begins to read a column into col, whose slices it uses again.
func (t *parquetTable) reader(place int, col *Column, texts profile.Texts) *columnReader {
	*col = Column{
		Column: profile.Column{Name: t.fields[place].Name, Type: t.fields[place].Type, Numbers: col.Numbers[:0], Texts: col.Texts[:0]},
		Times:  col.Times[:0], Local: t.kinds[place].local,
	}
	r := &columnReader{col: col, kind: &t.kinds[place], texts: texts}
	index := t.file.Root().Columns()[place].Index()
	for _, group := range t.file.RowGroups() {
		r.chunks = append(r.chunks, group.ColumnChunks()[index])
	}
	return r
}

// Rows implements [Table]. It holds a page or two of each column.
func (t *parquetTable) Rows(ctx context.Context, names []string, take func([]Column) error) (err error) {
	defer damaged("Parquet", &err)
	places, err := find(t.fields, names)
	if err != nil {
		return err
	}
	readers, columns := make([]*columnReader, len(places)), make([]Column, len(places))
	defer func() {
		for _, r := range readers {
			if r != nil {
				err = errors.Join(err, r.close())
			}
		}
	}()
	for i, place := range places {
		readers[i] = t.reader(place, new(Column), profile.Texts{Different: everyText})
	}
	rows := t.file.NumRows()
	for done := int64(0); done < rows; done += rowsAtOnce {
		t.opts.Report(Progress{Stage: Rows, Done: done, Total: rows})
		n := int(min(rows-done, rowsAtOnce))
		for i, r := range readers {
			if columns[i], err = r.next(ctx, n); err != nil {
				return unreadable(ctx, err, "Parquet", names[i])
			}
		}
		if err := take(columns); err != nil {
			return err
		}
	}
	return nil
}

// Close implements [Table].
func (t *parquetTable) Close() error {
	if t.closed == nil {
		return nil
	}
	return t.closed()
}

// columnReader appends the values of a column's pages.
type columnReader struct {
	col   *Column
	kind  *parquetKind
	rows  int // to come, where that is known
	texts profile.Texts

	chunks []parquet.ColumnChunk // still to read
	pages  parquet.Pages
	taken  int // rows of col that next gave

	dictionary parquet.Dictionary
	entries    []float64 // of the dictionary
	buffer     []parquet.Value
}

func (r *columnReader) close() error {
	if r.pages == nil {
		return nil
	}
	err := r.pages.Close()
	r.pages = nil
	return err
}

// next is the next n rows, valid until the ones after.
func (r *columnReader) next(ctx context.Context, n int) (Column, error) {
	for r.col.Len()-r.taken < n {
		r.shift()
		more, err := r.readPage(ctx)
		if err != nil {
			return Column{}, err
		}
		if !more {
			return Column{}, fmt.Errorf("it has fewer rows than the file")
		}
	}
	from, to := r.taken, r.taken+n
	r.taken = to
	return r.col.slice(from, to), nil
}

// shift forgets the rows that next gave.
func (r *columnReader) shift() {
	c := r.col
	c.Times, c.Numbers, c.Texts = cut(c.Times, r.taken), cut(c.Numbers, r.taken), cut(c.Texts, r.taken)
	if c.Missing != nil {
		c.Missing = cut(c.Missing, r.taken)
	}
	r.texts = profile.Texts{Different: r.texts.Different}
	r.taken = 0
}

func cut[T any](s []T, n int) []T {
	if len(s) == 0 {
		return s
	}
	return s[:copy(s, s[n:])]
}

// readPage appends the next page, if there is one.
func (r *columnReader) readPage(ctx context.Context) (more bool, err error) {
	for {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if r.pages == nil {
			if len(r.chunks) == 0 {
				return false, nil
			}
			r.dictionary, r.pages, r.chunks = nil, r.chunks[0].Pages(), r.chunks[1:]
		}
		page, err := r.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			if err := r.close(); err != nil {
				return false, err
			}
			continue
		}
		if err != nil {
			return false, err
		}
		err = r.append(page)
		parquet.Release(page)
		return true, err
	}
}
