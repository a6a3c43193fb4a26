// Package reference reads the reference data of a drift profile from files:
// CSV and Parquet. It belongs to the command line; the arithmetic on the columns
// is sdk/profile's.
package reference

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Stage is a part of making a profile.
type Stage string

// The stages: Rows counts bytes of the file, Columns columns.
const (
	Rows    Stage = "rows"
	Columns Stage = "columns"
)

// Progress says how far making a profile is.
type Progress struct {
	Stage       Stage
	Done, Total int64
}

// Profile makes a profile of the file at path, read as [Read] does, in the
// memory that one column takes and little more. The cells of a large CSV file
// wait in a temporary file, which has no name any more once it is made. Columns
// that the profile does not use may be of any type. Report is called often.
func Profile(ctx context.Context, path string, opts profile.Options, report func(Progress)) (made *profile.Profile, err error) {
	err = open(path, func(file *os.File) error {
		made, err = profileCSV(ctx, file, opts, report)
		return err
	}, func(file *os.File, size int64) (err error) {
		defer recovered(&err)
		made, err = profileParquet(ctx, file, size, opts, report)
		return err
	})
	return made, err
}

// Read reads the columns of the file at path, whose ending says what it is:
// .csv or .parquet. Columns of CSV have the types that profile.ReadCSV infers,
// columns of Parquet their own. Errors name the column and the rule; a file
// that cannot be one of the two is fault.Invalid.
func Read(ctx context.Context, path string) (columns []profile.Column, err error) {
	err = open(path, func(file *os.File) error {
		columns, err = profile.ReadCSV(file, profile.CSVOptions{})
		return err
	}, func(file *os.File, size int64) error {
		columns, err = Parquet(ctx, file, size)
		return err
	})
	return columns, err
}

func open(path string, csv func(*os.File) error, parquet func(*os.File, int64) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open reference: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		return csv(file)
	case ".parquet":
		info, err := file.Stat()
		if err != nil {
			return fmt.Errorf("measure reference: %w", err)
		}
		return parquet(file, info.Size())
	}
	return fault.Invalid.New("%s ends neither in .csv nor in .parquet", filepath.Base(path))
}

// Parquet reads the columns of a Parquet file of the given size. Every column
// must be flat: boolean, a plain integer, a float, or text; nulls are missing
// values. It is fault.Invalid when the file is damaged.
func Parquet(ctx context.Context, r io.ReaderAt, size int64) (columns []profile.Column, err error) {
	defer recovered(&err)
	return readParquet(ctx, r, size)
}

// recovered makes an error of a panic, by which the Parquet library reports some
// kinds of damage.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fault.Invalid.New("the Parquet file is damaged: %v", p)
	}
}
