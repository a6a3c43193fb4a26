package main

import (
	"context"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// tableFlags say how a file is read.
type tableFlags struct {
	Separator string   `help:"What separates the cells of CSV, such as ';' or tab; a comma when not given." placeholder:"CHAR"`
	Null      []string `help:"Texts of CSV that stand for no value, besides the empty one, such as NA." placeholder:"TEXT"`
	Names     []string `help:"Names of the columns of CSV that has no header row." name:"column-names" placeholder:"NAME"`
}

// timeFlags say which column holds event times.
type timeFlags struct {
	Time       string `help:"Column of event times." placeholder:"COLUMN"`
	TimeFormat string `help:"Their form: rfc3339, unix, unix-ms, unix-us, unix-ns, or a layout such as %d.%m.%Y or 02.01.2006. The usual forms of ISO 8601 when not given." placeholder:"FORMAT"`
	TimeZone   string `help:"Zone of times that name none, such as Europe/Rome." default:"UTC" placeholder:"ZONE"`
}

func (f timeFlags) format() (*table.TimeFormat, error) {
	return table.NewTimeFormat(f.TimeFormat, f.TimeZone)
}

// options are those that the flags make.
func (f tableFlags) options() (table.Options, error) {
	opts := table.Options{Null: f.Null, Names: f.Names}
	switch separator, size := utf8.DecodeRuneInString(f.Separator); {
	case f.Separator == "":
	case f.Separator == "tab" || f.Separator == `\t`:
		opts.Separator = '\t'
	case size == len(f.Separator) && separator != utf8.RuneError && separator != '"' && separator != '\n' && separator != '\r':
		opts.Separator = separator
	default:
		return opts, errors.New("--separator: is one character, or tab")
	}
	return opts, nil
}

// open opens a table, which is read from in where path is that of standard input.
// Its columns have the given types where they are texts.
func (f tableFlags) open(ctx context.Context, path string, in io.Reader, opts table.Options) (table.Table, error) {
	mine, err := f.options()
	if err != nil {
		return nil, err
	}
	opts.Separator, opts.Null, opts.Names = mine.Separator, mine.Null, mine.Names
	return table.Open(ctx, path, in, opts)
}

// typesOf are the types that cells of CSV are read as for a profile.
func typesOf(p *profile.Profile) map[string]profile.ValueType {
	types := make(map[string]profile.ValueType, len(p.Features))
	for i := range p.Features {
		f := &p.Features[i]
		if types[f.Name] = f.Type; f.Type == profile.Int {
			types[f.Name] = profile.Float // what a reference held only whole numbers of may hold others later
		}
	}
	return types
}
