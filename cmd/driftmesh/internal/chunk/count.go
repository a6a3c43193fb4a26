package chunk

import (
	"context"
	"slices"
	"time"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/drift"
)

// Rule says how the rows of a table are cut, and by which column.
type Rule struct {
	By     By
	Column string // of times; empty where there is none
	Format *table.TimeFormat
}

// Sample counts the values of a table by chunk, feature and bin. It is for one
// goroutine.
type Sample struct {
	// Cut is how the rows are cut, once a column was seen.
	Cut    *Cut
	rule   Rule
	of     Judged
	clock  *clock                // when rows happened; nil unless a monitor wants to know
	counts map[string][][]uint64 // of each feature: by chunk, by bin
	// measures are those of numbers, by chunk.
	measures map[string][]drift.Measures
	// rows are of the columns that are judged together.
	rows   *profile.Rows
	groups [][]*profile.Products // by chunk, once they are counted
	// kept are the columns of the outcome, compared what they say of each chunk.
	kept     *profile.Outcomes
	compared []*drift.Outcomes
}

// Judged is what a sample is judged by.
type Judged struct {
	Monitors []profile.Monitor
	Outcome  *profile.Outcome // nil when there is none
}

// NewSample makes an empty sample of what is judged.
func NewSample(r Rule, of Judged) *Sample {
	return &Sample{
		rule: r, of: of, counts: map[string][][]uint64{}, measures: map[string][]drift.Measures{}, rows: profile.NewRows(of.Monitors),
		kept: profile.NewOutcomes(of.Outcome),
	}
}

// Timed reports whether it is known when rows happened.
func (s *Sample) Timed() bool { return s.clock != nil }

// clocked reports whether a monitor wants to know when rows happened.
func (s *Sample) clocked() bool {
	return s.rule.Column != "" && slices.ContainsFunc(s.of.Monitors, func(m profile.Monitor) bool { return drift.OfWindows(m.Detector) })
}

// First names the column that has to be seen before all others, if any.
func (s *Sample) First() []string {
	if s.rule.By.Timed() || s.clocked() {
		return []string{s.rule.Column}
	}
	return nil
}

// seeTimes takes in the column of times.
func (s *Sample) seeTimes(c *table.Column) (err error) {
	if s.rule.By.Timed() {
		s.Cut, err = s.rule.By.Times(c, s.rule.Format)
	} else {
		s.Cut, err = s.rule.By.Count(c.Len())
	}
	if err == nil && s.clocked() {
		s.clock, err = newClock(c, s.rule.Format, s.Cut)
	}
	return err
}

// See takes in the column of a feature, or that of times, which has none.
func (s *Sample) See(f *profile.Feature, c *table.Column) (err error) {
	if f == nil {
		return s.seeTimes(c)
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
	measures := make([]drift.Measures, len(counts))
	for i := range measures {
		measures[i] = drift.NewMeasures(f, s.of.Monitors)
	}
	for row := range c.Len() {
		place, err := placer.Place(row)
		if err != nil {
			return err
		}
		chunk := s.Cut.Of(row)
		counts[chunk][place]++
		if f.Kind == profile.Numeric && place < len(f.Bins) {
			measures[chunk].Add(c.Numbers[row])
		}
	}
	s.counts[f.Name], s.measures[f.Name] = counts, measures
	s.kept.Keep(&c.Column)
	if f.Kind == profile.Numeric {
		s.rows.Keep(&c.Column)
	}
	return s.chart(f, c, placer)
}

// chart takes in the values of a feature in the order of time, where a chart wants
// that.
func (s *Sample) chart(f *profile.Feature, c *table.Column, placer *profile.Placer) error {
	measures := s.measures[f.Name]
	if s.clock == nil || len(measures) == 0 || !measures[0].Charted() {
		return nil
	}
	for _, at := range s.clock.order {
		row := int(at)
		place, err := placer.Place(row)
		if err != nil {
			return err
		}
		x := 0.0
		if f.Kind == profile.Numeric {
			x = c.Numbers[row]
		}
		measures[s.Cut.Of(row)].At(s.clock.minute(row), place, x)
	}
	return nil
}

// Range is the time of a chunk, and the latest of its rows, where that is known. A
// table tells nothing of before its first row and after its last.
func (s *Sample) Range(chunk int) (start, end, last time.Time) {
	k := &s.Cut.Chunks[chunk]
	start, end = k.Start, k.End
	if s.clock == nil || len(s.clock.order) == 0 {
		return start, end, last
	}
	rows := s.clock.order
	if begin := s.clock.time(int(rows[0])).Truncate(time.Minute); begin.After(start) {
		start = begin
	}
	if over := s.clock.time(int(rows[len(rows)-1])).Truncate(time.Minute).Add(time.Minute); over.Before(end) {
		end = over
	}
	return start, end, s.clock.last[chunk]
}

// Outcomes is how predictions of a chunk compare with what came true; nil without an
// outcome.
func (s *Sample) Outcomes(p *profile.Profile, chunk int) *drift.Outcomes {
	if p.Outcome == nil {
		return nil
	}
	if s.compared == nil {
		for range s.Cut.Chunks {
			s.compared = append(s.compared, drift.NewOutcomes(p))
		}
		s.kept.Each(p, func(row int) profile.Compared { return s.compared[s.Cut.Of(row)] })
	}
	return s.compared[chunk]
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
// features that were not seen are empty.
func (s *Sample) Measures(p *profile.Profile, chunk int) []drift.Measures {
	all := make([]drift.Measures, len(p.Features))
	for i := range p.Features {
		f := &p.Features[i]
		if measures := s.measures[f.Name]; measures != nil {
			all[i] = measures[chunk]
			continue
		}
		all[i] = drift.NewMeasures(f, s.of.Monitors)
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
