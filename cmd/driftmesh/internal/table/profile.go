package table

import (
	"context"

	"github.com/driftmesh/driftmesh/sdk/profile"
)

// Profile makes a profile of the columns of a table that opts names, or of all,
// in the memory that one column takes and little more. Columns that the profile
// does not use may be of any type. Each is called with every feature and its
// column, while they are at hand; it may be nil. First names columns that each is
// to see before, with no feature.
func Profile(ctx context.Context, t Table, opts profile.Options, first []string, each func(*profile.Feature, *Column) error) (*profile.Profile, error) {
	builder, err := profile.NewBuilder(Names(t), opts)
	if err != nil {
		return nil, err
	}
	names := append([]string(nil), first...)
	for _, f := range t.Fields() {
		if !builder.Wants(f.Name) {
			continue
		}
		if err := f.Feature(); err != nil {
			return nil, err
		}
		names = append(names, f.Name)
	}
	at := 0
	err = t.Columns(ctx, names, func(c *Column) error {
		at++
		if at <= len(first) {
			return each(nil, c)
		}
		if err := builder.Add(&c.Column); err != nil || each == nil || builder.Added() == nil {
			return err
		}
		return each(builder.Added(), c)
	})
	if err != nil {
		return nil, err
	}
	return builder.Profile()
}
