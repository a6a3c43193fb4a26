// Package reference reads the reference data of a drift profile from files:
// CSV and Parquet. It belongs to the command line; the arithmetic on the columns
// is sdk/profile's.
package reference

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Read reads the columns of the file at path, whose ending says what it is:
// .csv or .parquet. Columns of CSV have the types that profile.ReadCSV infers,
// columns of Parquet their own. Errors name the column and the rule; a file
// that cannot be one of the two is fault.Invalid.
func Read(path string) ([]profile.Column, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open reference: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		return profile.ReadCSV(file, profile.CSVOptions{})
	case ".parquet":
		info, err := file.Stat()
		if err != nil {
			return nil, fmt.Errorf("measure reference: %w", err)
		}
		return Parquet(file, info.Size())
	}
	return nil, fault.Invalid.New("%s ends neither in .csv nor in .parquet", filepath.Base(path))
}

// Parquet reads the columns of a Parquet file of the given size. Every column
// must be flat: boolean, a plain integer, a float, or text; nulls are missing
// values. It is fault.Invalid when the file is damaged.
func Parquet(r io.ReaderAt, size int64) (columns []profile.Column, err error) {
	// The library reports some kinds of damage by a panic.
	defer func() {
		if p := recover(); p != nil {
			columns, err = nil, fault.Invalid.New("the Parquet file is damaged: %v", p)
		}
	}()
	return readParquet(r, size)
}
