package profile

import (
	"errors"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
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
	// Categories names int columns to be binned as categories.
	Categories []string
	// Features names the columns to use, in this order; empty means all, in
	// their own order.
	Features []string
	// Schedule says when to evaluate; zero means daily.
	Schedule Schedule
	// Correction over features and monitors; empty means [BenjaminiHochberg].
	Correction Correction
	// Monitors say what is judged and how; none means [DefaultMonitor].
	Monitors []Monitor
}

// New makes a profile from reference columns, which must have equal lengths. It
// reports every column that breaks a rule, each as an [Error] that names it.
func New(columns []Column, opts Options) (*Profile, error) {
	columns, err := choose(columns, opts.Features)
	if err != nil {
		return nil, err
	}
	p := &Profile{
		Space: opts.Space, Name: opts.Name, Version: opts.Version,
		Binning: opts.Binning, Schedule: opts.Schedule, Correction: opts.Correction, Monitors: slices.Clone(opts.Monitors),
		Features: make([]Feature, 0, len(columns)),
	}
	p.FillDefaults()
	if err := p.Binning.Validate(); err != nil {
		return nil, err
	}
	var problems []error
	for _, name := range opts.Categories {
		if !slices.ContainsFunc(columns, func(c Column) bool { return c.Name == name }) {
			problems = append(problems, &Error{Column: name, Rule: "CATEGORIES", Detail: "there is no such column"})
		}
	}
	for i := range columns {
		f, err := newFeature(&columns[i], p.Binning, slices.Contains(opts.Categories, columns[i].Name))
		if err != nil {
			problems = append(problems, err)
			continue
		}
		p.Features = append(p.Features, f)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return p, nil
}

// choose picks and orders the columns to use and checks that they fit together.
func choose(columns []Column, names []string) ([]Column, error) {
	for i := range columns {
		if err := columns[i].check(); err != nil {
			return nil, err
		}
		if columns[i].Len() != columns[0].Len() {
			return nil, &Error{Column: columns[i].Name, Rule: "COLUMN_LENGTH", Detail: strconv.Itoa(columns[i].Len()) +
				" rows where column " + strconv.Quote(columns[0].Name) + " has " + strconv.Itoa(columns[0].Len())}
		}
	}
	if len(names) == 0 {
		return columns, nil
	}
	chosen := make([]Column, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			return nil, &Error{Column: name, Rule: "FEATURES", Detail: "there is no such column"}
		}
		chosen = append(chosen, columns[i])
	}
	return chosen, nil
}

func newFeature(c *Column, binning Binning, asCategory bool) (Feature, error) {
	f := Feature{Name: c.Name, Kind: c.Type.Kind(), Type: c.Type}
	f.Baseline.Rows = uint64(c.Len())
	var err error
	switch {
	case f.Kind == Category:
		err = f.fillCategories(c, func(row int) string { return c.Texts[row] })
	case !asCategory:
		err = f.fillNumbers(c, binning)
	case c.Type == Int:
		f.Kind = Category
		err = f.fillCategories(c, func(row int) string { return strconv.FormatInt(int64(c.Numbers[row]), 10) })
	default:
		err = &Error{Column: c.Name, Rule: "CATEGORIES", Detail: "a float column cannot be a category"}
	}
	return f, err
}

func (f *Feature) fillNumbers(c *Column, binning Binning) error {
	values := make([]float64, 0, len(c.Numbers))
	for row, v := range c.Numbers {
		switch {
		case c.missing(row):
			f.Baseline.Special[Missing]++
		case math.IsNaN(v):
			f.Baseline.Special[NaN]++
		case math.IsInf(v, 1):
			f.Baseline.Special[PosInf]++
		case math.IsInf(v, -1):
			f.Baseline.Special[NegInf]++
		default:
			values = append(values, v+0) // -0 becomes 0: they compare equal
		}
	}
	sort.Float64s(values)
	edges, err := binning.Edges(values)
	if err != nil {
		return inColumn(err, c.Name)
	}
	f.Baseline.Min, f.Baseline.Max = values[0], values[len(values)-1]
	f.Baseline.Mean, f.Baseline.StdDev = moments(values)
	f.Bins = make([]Bin, len(edges)+1)
	lower, below := math.Inf(-1), 0
	for i := range f.Bins {
		upper, upTo := math.Inf(1), len(values)
		if i < len(edges) {
			upper = edges[i]
			upTo = sort.Search(len(values), func(k int) bool { return values[k] > upper })
		}
		f.Bins[i] = Bin{ID: i + 1, Lower: lower, Upper: upper, Count: uint64(upTo - below)}
		lower, below = upper, upTo
	}
	f.setProportions(uint64(len(values)))
	return nil
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
