package chunk

import (
	"context"
	"slices"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/drift"
)

// Rule says how the rows of a table are cut, and by which column.
type Rule struct {
	By     By
	Column string // of times; empty where By needs none
	Format *table.TimeFormat
}

// Sample counts the values of a table by chunk, feature and bin. It is for one
// goroutine.
type Sample struct {
	// Cut is how the rows are cut, once a column was seen.
	Cut    *Cut
	rule   Rule
	counts map[string][][]uint64 // of each feature: by chunk, by bin
	// measures are those of numbers, by chunk.
	measures map[string][]drift.Measures
	// rows are of the columns that are judged together.
	rows   *profile.Rows
	groups [][]*profile.Products // by chunk, once they are counted
}

// NewSample makes an empty sample of features that these monitors judge.
func NewSample(r Rule, monitors []profile.Monitor) *Sample {
	return &Sample{rule: r, counts: map[string][][]uint64{}, measures: map[string][]drift.Measures{}, rows: profile.NewRows(monitors)}
}

// First names the column that has to be seen before all others, if any.
func (s *Sample) First() []string {
	if s.rule.By.Timed() {
		return []string{s.rule.Column}
	}
	return nil
}

// See takes in the column of a feature, or that of times, which has none.
func (s *Sample) See(f *profile.Feature, c *table.Column) (err error) {
	if f == nil {
		s.Cut, err = s.rule.By.Times(c, s.rule.Format)
		return err
	}
	if s.Cut == nil {
		if s.Cut, err = s.rule.By.Count(c.Len()); err != nil {
			return err
		}
	}
	placer, err := profile.NewPlacer(f, &c.Column)
	if err != nil {
		return err
	}
	counts := make([][]uint64, len(s.Cut.Chunks))
	for i := range counts {
		counts[i] = make([]uint64, f.Cells())
	}
	var measures []drift.Measures
	if f.Kind == profile.Numeric {
		measures = make([]drift.Measures, len(counts))
		for i := range measures {
			measures[i] = drift.NewMeasures(f)
		}
	}
	for row := range c.Len() {
		place, err := placer.Place(row)
		if err != nil {
			return err
		}
		chunk := s.Cut.Of(row)
		counts[chunk][place]++
		if measures != nil && place < len(f.Bins) {
			measures[chunk].Add(c.Numbers[row])
		}
	}
	s.counts[f.Name], s.measures[f.Name] = counts, measures
	if f.Kind == profile.Numeric {
		s.rows.Keep(&c.Column)
	}
	return nil
}

// Groups are what a chunk has of each group of the profile.
func (s *Sample) Groups(p *profile.Profile, chunk int) []*profile.Products {
	if s.groups == nil {
		s.groups = make([][]*profile.Products, len(s.Cut.Chunks))
		for i := range s.groups {
			for g := range p.Groups {
				s.groups[i] = append(s.groups[i], profile.NewProducts(p, &p.Groups[g]))
			}
		}
		for g := range p.Groups {
			s.rows.Each(p.Groups[g].Features, func(row int, values []float64) { s.groups[s.Cut.Of(row)][g].Add(values) })
		}
	}
	return s.groups[chunk]
}

// Measures are those of a chunk, for each feature of the profile; those of
// categories, and of features that were not seen, are empty.
func (s *Sample) Measures(p *profile.Profile, chunk int) []drift.Measures {
	all := make([]drift.Measures, len(p.Features))
	for i := range p.Features {
		f := &p.Features[i]
		if measures := s.measures[f.Name]; measures != nil {
			all[i] = measures[chunk]
			continue
		}
		all[i] = drift.NewMeasures(f)
	}
	return all
}

// Counts are those of a chunk, for each feature of the profile an element for
// each bin. Of features that were not seen all values are missing.
func (s *Sample) Counts(p *profile.Profile, chunk int) [][]uint64 {
	all := make([][]uint64, len(p.Features))
	for i := range p.Features {
		f := &p.Features[i]
		if counts := s.counts[f.Name]; counts != nil {
			all[i] = slices.Clone(counts[chunk])
			continue
		}
		all[i] = make([]uint64, f.Cells())
		all[i][f.SpecialCell(profile.Missing)] = uint64(s.Cut.Chunks[chunk].Rows) //nolint:gosec // a number of rows
	}
	return all
}

// Read counts the columns of a table that are features of the profile, in the
// memory that one column takes and little more. Absent are the features that the
// table does not have.
func (s *Sample) Read(ctx context.Context, t table.Table, p *profile.Profile) (absent []string, err error) {
	names := s.First()
	there := table.Names(t)
	for i := range p.Features {
		if name := p.Features[i].Name; slices.Contains(there, name) {
			names = append(names, name)
		} else {
			absent = append(absent, name)
		}
	}
	if len(absent) == len(p.Features) {
		return nil, table.NoColumn(t.Fields(), absent[0])
	}
	first := len(s.First())
	return absent, t.Columns(ctx, names, func(c *table.Column) error {
		if first > 0 {
			first--
			return s.See(nil, c)
		}
		return s.See(&p.Features[p.Feature(c.Name)], c)
	})
}
