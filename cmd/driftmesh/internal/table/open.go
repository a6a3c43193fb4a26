package table

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// How files begin.
var (
	parquetMark = []byte("PAR1")
	arrowMark   = []byte("ARROW1")
	streamMark  = []byte{0xff, 0xff, 0xff, 0xff}
	gzipMark    = []byte{0x1f, 0x8b}
	zstdMark    = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// Open opens the table at path, or from stdin where that is [Stdin]. It is
// fault.Invalid when it is none of the kinds, or damaged.
func Open(ctx context.Context, path string, stdin io.Reader, opts Options) (t Table, err error) {
	if opts.Report == nil {
		opts.Report = func(Progress) {}
	}
	if path == Stdin {
		return open(ctx, source{Reader: stdin, name: "standard input"}, opts)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fault.Invalid.New("%s is a directory", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s := source{Reader: file, name: filepath.Base(path), size: info.Size(), close: file.Close}
	if info.Mode().IsRegular() {
		s.at = file
	}
	if t, err = open(ctx, s, opts); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return t, nil
}

// source is where a table comes from.
type source struct {
	io.Reader
	name  string
	at    io.ReaderAt // nil where it can only be read from front to end
	size  int64       // 0 when nobody knows
	close func() error
}

func open(ctx context.Context, s source, opts Options) (Table, error) {
	text := bufio.NewReaderSize(&watchedReader{stopped: ctx.Err, from: s.Reader, total: s.size, report: opts.Report}, 64<<10)
	begin, err := text.Peek(len(arrowMark))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", s.name, err)
	}
	s.Reader = text
	has := func(mark []byte) bool { return bytes.HasPrefix(begin, mark) }
	switch {
	case has(parquetMark):
		return anywhere(s, opts, openParquet)
	case has(arrowMark), has(streamMark):
		return anywhere(s, opts, openArrow)
	case has(gzipMark):
		unpacked, err := gzip.NewReader(text)
		if err != nil {
			return nil, fault.Invalid.Wrap(err, "%s begins as gzip, but is not: %v", s.name, err)
		}
		s.Reader = unpacked
	case has(zstdMark):
		unpacked, err := zstd.NewReader(text, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, fault.Invalid.Wrap(err, "%s begins as Zstandard, but is not: %v", s.name, err)
		}
		s.Reader = unpacked
	}
	switch ending := endingOf(s.name); {
	case s.close == nil, ending == ".csv", ending == ".tsv", ending == ".txt":
		if ending == ".tsv" && opts.Separator == 0 {
			opts.Separator = '\t'
		}
		return openCSV(s, opts)
	}
	return nil, fault.Invalid.New("%s is neither Parquet nor Arrow, and does not end in .csv, .tsv or .txt, packed by gzip or Zstandard or not", s.name)
}

// endingOf is the ending of a name before that of a packer.
func endingOf(name string) string {
	name = strings.ToLower(name)
	for _, packer := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, packer)
	}
	return filepath.Ext(name)
}

// anywhere opens what has to be read at any place, for which a stream waits in a
// temporary file.
func anywhere(s source, opts Options, open func(source, Options) (Table, error)) (Table, error) {
	if s.at != nil {
		return open(s, opts)
	}
	spooled, before := &tempFile{}, s.close
	s.close = func() error {
		err := spooled.close()
		if before != nil {
			err = errors.Join(err, before())
		}
		return err
	}
	size, err := io.Copy(spooled, s.Reader)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", s.name, err), spooled.close())
	}
	s.at, s.size = spooled, size
	t, err := open(s, opts)
	if err != nil {
		return nil, errors.Join(err, spooled.close())
	}
	return t, nil
}
