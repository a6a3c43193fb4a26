package table

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// cellsInMemory is how many bytes of a CSV file's cells stay in memory; tests
// have less.
var cellsInMemory int64 = 128 << 20

// csvTable is text, whose rows are read once.
type csvTable struct {
	text   *profile.CSV
	opts   Options
	spill  tempFile
	closed func() error
}

func openCSV(s source, opts Options) (Table, error) {
	t := &csvTable{opts: opts, closed: s.close}
	var err error
	t.text, err = profile.NewCSV(s, profile.CSVOptions{
		Comma: opts.Separator, Null: opts.Null, Names: opts.Names, Spill: &t.spill, Memory: cellsInMemory,
	})
	if err != nil {
		return nil, err
	}
	for name, as := range opts.Types {
		t.text.Fix(name, as)
	}
	return t, nil
}

// Fields implements [Table].
func (t *csvTable) Fields() []Field {
	names := t.text.Names()
	fields := make([]Field, len(names))
	for i, name := range names {
		fields[i] = Field{Name: name, Type: t.opts.Types[name]}
	}
	return fields
}

// Columns implements [Table]. It sets the cells aside by column.
func (t *csvTable) Columns(ctx context.Context, names []string, take func(*Column) error) error {
	if _, err := find(t.Fields(), names); err != nil {
		return err
	}
	if err := t.text.Read(func(name string) bool { return slices.Contains(names, name) }); err != nil {
		return err
	}
	var column Column
	for i, name := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.opts.Report(Progress{Stage: Columns, Done: int64(i), Total: int64(len(names))})
		read := t.text.Column
		if slices.Contains(t.opts.Whole, name) && (t.opts.Types[name] == profile.String || t.opts.Types[name] == "") {
			read = t.text.Texts
		}
		if err := read(name, &column.Column); err != nil {
			return err
		}
		if err := take(&column); err != nil {
			return err
		}
	}
	return nil
}

// Rows implements [Table].
func (t *csvTable) Rows(ctx context.Context, names []string, take func([]Column) error) error {
	places, err := find(t.Fields(), names)
	if err != nil {
		return err
	}
	columns := make([]Column, len(names))
	texts := make([]profile.Texts, len(names))
	for i, name := range names {
		columns[i].Column = profile.Column{Name: name, Type: profile.String}
	}
	begin := func() {
		for i := range columns {
			columns[i].Texts, columns[i].Missing = columns[i].Texts[:0], columns[i].Missing[:0]
			texts[i] = profile.Texts{Different: rowsAtOnce + 1}
		}
	}
	begin()
	rows := 0
	err = t.text.Rows(func(_ int, cells [][]byte) error {
		for i, place := range places {
			c := &columns[i]
			c.Texts = append(c.Texts, texts[i].Of(cells[place]))
			c.Missing = append(c.Missing, len(cells[place]) == 0)
		}
		if rows++; rows < rowsAtOnce {
			return nil
		}
		rows = 0
		err := take(columns)
		begin()
		return errors.Join(err, ctx.Err())
	})
	if err != nil || rows == 0 {
		return err
	}
	return take(columns)
}

// Close implements [Table].
func (t *csvTable) Close() error {
	err := t.spill.close()
	if t.closed != nil {
		err = errors.Join(err, t.closed())
	}
	return err
}

// watchedReader reports how far reading is, and stops with its context.
type watchedReader struct {
	stopped     func() error
	from        io.Reader
	done, total int64
	report      func(Progress)
}

// Read implements [io.Reader].
func (r *watchedReader) Read(p []byte) (int, error) {
	if err := r.stopped(); err != nil {
		return 0, err
	}
	n, err := r.from.Read(p)
	r.done += int64(n)
	r.report(Progress{Stage: Bytes, Done: r.done, Total: r.total})
	return n, err
}

// tempFile is a temporary file that is made with the first write. Where the
// system lets it, it loses its name at once, so that nothing is left of it
// whatever ends the process.
type tempFile struct {
	file  *os.File
	named bool
}

// Write implements [io.Writer].
func (t *tempFile) Write(p []byte) (int, error) {
	if t.file == nil {
		file, err := os.CreateTemp("", "driftmesh-table-*")
		if err != nil {
			return 0, err
		}
		t.file, t.named = file, os.Remove(file.Name()) != nil
	}
	return t.file.Write(p)
}

// ReadAt implements [io.ReaderAt].
func (t *tempFile) ReadAt(p []byte, offset int64) (int, error) {
	if t.file == nil {
		return 0, fs.ErrNotExist
	}
	return t.file.ReadAt(p, offset)
}

func (t *tempFile) close() error {
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	if t.named {
		err = errors.Join(err, os.Remove(t.file.Name()))
	}
	return err
}
