// Package table reads tables from files for the command line: CSV, plain or
// packed, Parquet, and Arrow in its file and its stream form, of which Feather
// version 2 is the first. What they are they say themselves, by how they begin.
// The arithmetic on the columns is sdk/profile's.
package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Options say how a table is read. The zero value reads all kinds as they come.
type Options struct {
	// Separator of the cells of CSV; 0 is a tab where the file's name ends in
	// .tsv, and a comma elsewhere.
	Separator rune
	// Null are texts of CSV that stand for a missing value, as the empty one does.
	Null []string
	// Names are those of the columns of CSV without a header row.
	Names []string
	// Types are those of columns of CSV, which are inferred otherwise. Those that
	// the file does not have do no harm.
	Types map[string]profile.ValueType
	// Whole names columns that may have any number of different texts. Of others
	// as many are kept as a profile takes, and one more.
	Whole []string
	// Report hears often how far reading is; nil is for nobody.
	Report func(Progress)
}

// Stage is a part of reading.
type Stage string

// The stages: Bytes counts those of the file, Columns columns, Rows rows.
const (
	Bytes   Stage = "bytes"
	Columns Stage = "columns"
	Rows    Stage = "rows"
)

// Progress says how far reading is. Total is 0 when nobody knows.
type Progress struct {
	Stage       Stage
	Done, Total int64
}

// Column is a column, or a part of one.
type Column struct {
	profile.Column
	// Times are the values of a column of times, in nanoseconds since 1970; its
	// Type is then empty. Numbers and Texts are empty.
	Times []int64
	// Local says that Times are what a clock on the wall shows, in no zone that the
	// table names, as if it were UTC.
	Local bool
}

// Len returns the number of rows.
func (c *Column) Len() int {
	if c.Type == "" {
		return len(c.Times)
	}
	return c.Column.Len()
}

// slice is some rows of a column.
func (c *Column) slice(from, to int) Column {
	s := Column{Column: profile.Column{Name: c.Name, Type: c.Type}, Local: c.Local}
	switch {
	case c.Type == "":
		s.Times = c.Times[from:to]
	case c.Type.Kind() == profile.Numeric:
		s.Numbers = c.Numbers[from:to]
	default:
		s.Texts = c.Texts[from:to]
	}
	if c.Missing != nil {
		s.Missing = c.Missing[from:to]
	}
	return s
}

// Field is what a table says of a column before it is read.
type Field struct {
	Name string
	// Type is empty where the values have to be read to know it, and of times.
	Type profile.ValueType
	// Time says that the values are times.
	Time bool
	// Problem is why the values cannot be read, if so.
	Problem error
}

// Feature returns an error when the column cannot be a feature.
func (f *Field) Feature() error {
	if f.Time {
		return &profile.Error{Column: f.Name, Rule: "COLUMN_TYPE", Detail: "a time cannot be a feature; leave the column out"}
	}
	return f.Problem
}

// Table is an open table, of which one of Columns and Rows may be called, once.
// It is for one goroutine.
type Table interface {
	// Fields are the columns in their order.
	Fields() []Field
	// Columns reads the columns of these names one after the other, each whole,
	// in the memory that one takes and little more. A column is valid until the
	// next. Columns of times it reads too, but of CSV, where they are texts.
	Columns(ctx context.Context, names []string, take func(*Column) error) error
	// Rows reads the columns of these names together, some rows at a time. The
	// columns are in the order of the names and valid until the next; those of CSV
	// are texts.
	Rows(ctx context.Context, names []string, take func([]Column) error) error
	// Close frees what the table holds.
	Close() error
}

// Names are the names of the table's columns.
func Names(t Table) []string {
	fields := t.Fields()
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].Name
	}
	return names
}

// rowsAtOnce is how many rows [Table.Rows] gives at a time at most.
const rowsAtOnce = 4096

// find gives the positions of names among the fields.
func find(fields []Field, names []string) ([]int, error) {
	places := make([]int, len(names))
	for i, name := range names {
		places[i] = slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
		if places[i] < 0 {
			return nil, NoColumn(fields, name)
		}
		if problem := fields[places[i]].Problem; problem != nil {
			return nil, problem
		}
	}
	return places, nil
}

// namesShown bounds how many names an error lists.
const namesShown = 20

// NoColumn is the error of a name that no field has: fault.Invalid, which says
// what there is.
func NoColumn(fields []Field, name string) error {
	var there []string
	for _, f := range fields[:min(len(fields), namesShown)] {
		there = append(there, f.Name)
	}
	more := ""
	if n := len(fields) - len(there); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fault.Invalid.New("there is no column %q, but %s%s", name, strings.Join(there, ", "), more)
}

// damaged makes an error of a panic, by which a library reports some kinds of
// damage.
func damaged(kind string, err *error) {
	if p := recover(); p != nil {
		*err = fault.Invalid.New("the %s file is damaged: %v", kind, p)
	}
}

// unreadable says that a column cannot be read, unless that is because nobody
// wants it any more.
func unreadable(ctx context.Context, err error, kind, column string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var broken *profile.Error
	if errors.As(err, &broken) {
		return err
	}
	return fault.Invalid.Wrap(err, "column %q of the %s file cannot be read: %v", column, kind, err)
}
