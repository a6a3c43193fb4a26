package reference

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// cellsInMemory is how many bytes of a CSV file's cells stay in memory; tests
// have less.
var cellsInMemory int64 = 128 << 20

// profileCSV makes a profile of CSV, whose rows it reads once, setting their
// cells aside by column.
func profileCSV(ctx context.Context, file *os.File, opts profile.Options, report func(Progress)) (made *profile.Profile, err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("measure reference: %w", err)
	}
	spill := &tempFile{}
	defer func() { err = errors.Join(err, spill.close()) }()
	text := &watchedReader{stopped: ctx.Err, from: file, total: info.Size(), report: report}
	table, err := profile.NewCSV(text, profile.CSVOptions{Spill: spill, Memory: cellsInMemory})
	if err != nil {
		return nil, err
	}
	names := table.Names()
	builder, err := profile.NewBuilder(names, opts)
	if err != nil {
		return nil, err
	}
	if err := table.Read(builder.Wants); err != nil {
		return nil, err
	}
	var column profile.Column
	for i, name := range names {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		report(Progress{Stage: Columns, Done: int64(i), Total: int64(len(names))})
		if !builder.Wants(name) {
			continue
		}
		if err := table.Column(name, &column); err != nil {
			return nil, err
		}
		if err := builder.Add(&column); err != nil {
			return nil, err
		}
	}
	return builder.Profile()
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
	r.report(Progress{Stage: Rows, Done: r.done, Total: r.total})
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
		file, err := os.CreateTemp("", "driftmesh-reference-*")
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
