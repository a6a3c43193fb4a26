package profile

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// Options are the choices in making a profile. The zero value of every field
// but Space and Name has a meaning.
type Options struct {
	// Space and Name of the profile; required.
	Space, Name string
	// Version asks for a semantic version; empty lets the server choose.
	Version string
	// Binning is the rule for numeric features; zero means deciles.
	Binning Binning
	// Categories names columns of whole numbers to be binned as categories.
	Categories []string
	// Features names the columns to use, in this order; empty means all, in
	// their own order.
	Features []string
	// ReferenceSpan is how long the reference was gathered; 0 when that is not known.
	ReferenceSpan time.Duration
	// Schedule says when to evaluate; zero means daily.
	Schedule Schedule
	// Correction over features and monitors; empty means [BenjaminiHochberg].
	Correction Correction
	// Monitors say what is judged and how; none means [DefaultMonitor].
	Monitors []Monitor
	// Outcome names the columns with predictions and with what came true; its
	// Reference is made from them. Nil when there are none.
	Outcome *Outcome
	// Source makes observations of spans. Nil when they are sent as records.
	Source *Source
}

// New makes a profile from reference columns, which must have equal lengths. It
// reports every column that breaks a rule, each as an [Error] that names it.
// Where the columns together are large, see [NewBuilder].
func New(columns []Column, opts Options) (*Profile, error) {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].Name
		if err := columns[i].check(); err != nil {
			return nil, err
		}
		if err := columns[i].checkRows(names[0], columns[0].Len()); err != nil {
			return nil, err
		}
	}
	b, err := NewBuilder(names, opts)
	if err != nil {
		return nil, err
	}
	for i := range columns {
		if err := b.Add(&columns[i]); err != nil {
			return nil, err
		}
	}
	return b.Profile()
}

// NewBuilder returns a builder for a profile of columns of these names. It
// refuses options that need other columns, and a binning that is none.
func NewBuilder(columns []string, opts Options) (*Builder, error) {
	for _, name := range opts.Features {
		if !slices.Contains(columns, name) {
			return nil, &Error{Column: name, Rule: "FEATURES", Detail: "there is no such column"}
		}
	}
	p := &Profile{
		Space: opts.Space, Name: opts.Name, Version: opts.Version,
		Binning: opts.Binning, ReferenceSpan: opts.ReferenceSpan, Schedule: opts.Schedule, Correction: opts.Correction, Monitors: slices.Clone(opts.Monitors),
		Source:   opts.Source,
		Features: make([]Feature, 0, len(columns)),
	}
	p.FillDefaults()
	if err := p.Binning.Validate(); err != nil {
		return nil, err
	}
	if opts.Outcome != nil {
		o := *opts.Outcome
		o.Reference = nil
		p.Outcome = &o
	}
	b := &Builder{opts: opts, profile: p, kept: NewOutcomes(p.Outcome), joint: NewRows(p.Monitors)}
	for _, name := range opts.Categories {
		if !b.Wants(name) || !slices.Contains(columns, name) {
			b.problems = append(b.problems, &Error{Column: name, Rule: "CATEGORIES", Detail: "there is no such column"})
		}
	}
	return b, nil
}

func (b *Builder) feature(c *Column) (Feature, error) {
	f := Feature{Name: c.Name, Kind: c.Type.Kind(), Type: c.Type}
	f.Baseline.Rows = uint64(c.Len())
	var err error
	switch {
	case f.Kind == Category:
		err = f.fillCategories(c, func(row int) string { return c.Texts[row] })
	case !slices.Contains(b.opts.Categories, c.Name):
		err = b.fillNumbers(&f, c)
	default:
		f.Kind, f.Type = Category, Int
		if c, err = wholeNumbers(c); err == nil {
			err = f.fillCategories(c, func(row int) string { return strconv.FormatInt(int64(c.Numbers[row]), 10) })
		}
	}
	return f, err
}

// wholeNumbers is the column with ints, which tools that know missing values only
// among floats write as floats, and missing ones as NaN.
func wholeNumbers(c *Column) (*Column, error) {
	if c.Type == Int {
		return c, nil
	}
	ints := *c
	ints.Type, ints.Missing = Int, make([]bool, c.Len())
	for row, v := range c.Numbers {
		ints.Missing[row] = c.missing(row) || math.IsNaN(v)
		if !ints.Missing[row] && (v != math.Trunc(v) || math.Abs(v) > maxWhole) {
			return nil, &Error{Column: c.Name, Row: row + 1, Rule: "CATEGORIES", Detail: number(v) + " is no whole number, so the column cannot be a category"}
		}
	}
	return &ints, nil
}

func (f *Feature) fillCategories(c *Column, text func(row int) string) error {
	counts := make(map[string]uint64)
	total := uint64(0)
	for row := range c.Len() {
		if c.missing(row) {
			f.Baseline.Special[Missing]++
			continue
		}
		counts[text(row)]++
		total++
		if len(counts) > MaxBins {
			return &Error{Column: c.Name, Row: row + 1, Rule: "CATEGORY_COUNT", Detail: "more than " + strconv.Itoa(MaxBins) +
				" distinct values; leave the column out (is it an id?)"}
		}
	}
	if total == 0 {
		return &Error{Column: c.Name, Rule: "EMPTY_COLUMN", Detail: "there is no value to make categories from"}
	}
	texts := slices.Sorted(maps.Keys(counts))
	f.Bins = make([]Bin, len(texts))
	for i, t := range texts {
		f.Bins[i] = Bin{ID: i, Category: t, Count: counts[t]}
	}
	f.setProportions(total)
	return nil
}

func (f *Feature) setProportions(total uint64) {
	for i := range f.Bins {
		f.Bins[i].Proportion = Share(f.Bins[i].Count, total)
	}
}

func inColumn(err error, name string) error {
	var e *Error
	if errors.As(err, &e) {
		named := *e
		named.Column = name
		return &named
	}
	return err
}
