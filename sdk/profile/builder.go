package profile

import (
	"errors"
	"slices"
	"strconv"
)

// Builder makes a profile from reference columns that come one at a time, so
// that only one of them need be in memory. It is for one profile and one
// goroutine.
type Builder struct {
	opts     Options
	profile  *Profile
	problems []error

	added bool
	last  *Feature
	first string // the column that the others' lengths are held against
	rows  int
	kept  *Outcomes
	joint *Rows

	// Room for the values of one numeric column and for sorting them, kept from
	// one column to the next.
	values, spare []float64
}

// Wants reports whether a column of that name becomes a feature.
func (b *Builder) Wants(name string) bool {
	return len(b.opts.Features) == 0 || slices.Contains(b.opts.Features, name)
}

// Add makes a feature of a column, of which it keeps no part; a column that is
// not wanted it leaves. It refuses a column that is malformed or of another
// length than those before it. A column that breaks another rule is reported by
// Profile, so that all of them are.
func (b *Builder) Add(c *Column) error {
	b.last = nil
	if !b.Wants(c.Name) {
		return nil
	}
	if err := c.check(); err != nil {
		return err
	}
	if !b.added {
		b.added, b.first, b.rows = true, c.Name, c.Len()
	}
	if err := c.checkRows(b.first, b.rows); err != nil {
		return err
	}
	f, err := b.feature(c)
	if err != nil {
		b.problems = append(b.problems, err)
		return nil
	}
	b.profile.Features = append(b.profile.Features, f)
	b.kept.Keep(c)
	if f.Kind == Numeric {
		b.joint.Keep(c)
	}
	b.last = &b.profile.Features[len(b.profile.Features)-1]
	return nil
}

// Added is the feature that was made of the column added last, until the next is
// added; nil when none was.
func (b *Builder) Added() *Feature { return b.last }

// Profile is the profile of the columns that were added, with the features in
// the order of [Options.Features] or, where there are none, in that of adding.
// It reports every column that breaks a rule, each as an [Error] that names it.
func (b *Builder) Profile() (*Profile, error) {
	if len(b.problems) > 0 {
		return nil, errors.Join(b.problems...)
	}
	p := *b.profile
	if len(b.opts.Features) > 0 {
		p.Features = make([]Feature, 0, len(b.opts.Features))
		for _, name := range b.opts.Features {
			i := b.profile.Feature(name)
			if i < 0 {
				return nil, &Error{Column: name, Rule: "FEATURES", Detail: "there is no such column"}
			}
			p.Features = append(p.Features, b.profile.Features[i])
		}
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if p.Outcome != nil {
		b.kept.compare(&p)
	}
	if err := b.joint.groups(&p); err != nil {
		return nil, err
	}
	return &p, nil
}

func (c *Column) checkRows(first string, rows int) error {
	if c.Len() == rows {
		return nil
	}
	return &Error{Column: c.Name, Rule: "COLUMN_LENGTH", Detail: strconv.Itoa(c.Len()) +
		" rows where column " + strconv.Quote(first) + " has " + strconv.Itoa(rows)}
}
