package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/chunk"
	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/compare"
	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// referenceFlags say how a profile is made of reference data.
type referenceFlags struct {
	tableFlags
	timeFlags
	Features   []string      `help:"Columns to compare; all when not given." placeholder:"COLUMN"`
	Ignore     []string      `help:"Columns to leave out." placeholder:"COLUMN"`
	Categories []string      `help:"Integer columns that are categories." placeholder:"COLUMN"`
	Bins       int           `help:"Quantile bins of a number." default:"10"`
	Rule       string        `help:"How numbers are binned." enum:"Quantile,Manual,SquareRoot,Sturges,Rice,Doane,Scott,TerrellScott,FreedmanDiaconis" default:"Quantile"`
	Correction string        `help:"How the significance is kept over all features and monitors." enum:"benjamini_hochberg,holm,bonferroni,none" default:"benjamini_hochberg"`
	Chunk      string        `help:"Cut rows into chunks: hour, day, week, month, quarter or year of --time, or a number of rows." placeholder:"CHUNK"`
	Span       time.Duration `name:"reference-span" help:"How long the reference was gathered, such as 168h; detectors of rates (volume, freshness, c_chart) need it." default:"0"`
	Monitor    monitorFlags  `embed:""`
	Outcome    outcomeFlags  `embed:""`
}

// rule is how rows are cut.
func (f referenceFlags) rule() (chunk.Rule, error) {
	format, err := f.format()
	if err != nil {
		return chunk.Rule{}, err
	}
	by, err := chunk.ParseBy(f.Chunk, format.Zone())
	if err == nil && by.Timed() && f.Time == "" {
		err = fmt.Errorf("--chunk %s: needs the column of event times, --time", f.Chunk)
	}
	return chunk.Rule{By: by, Column: f.Time, Format: format}, err
}

// made is a profile with what else was seen of its reference.
type made struct {
	profile *profile.Profile
	sample  *chunk.Sample // nil without chunks
}

// make makes a profile of the table at path, or read from in where that is standard
// input. The options say what the flags do not.
func (f referenceFlags) make(ctx context.Context, con console, path string, in io.Reader, opts profile.Options) (m made, err error) {
	if opts.Binning.Rule = profile.Rule(f.Rule); opts.Binning.Rule == profile.Quantile || opts.Binning.Rule == profile.Manual {
		opts.Binning.Bins = f.Bins
	}
	opts.ReferenceSpan, opts.Outcome = f.Span, f.Outcome.outcome()
	opts.Categories, opts.Correction = f.Categories, profile.Correction(f.Correction)
	if opts.Monitors, err = f.Monitor.monitors(); err != nil {
		return m, err
	}
	rule, err := f.rule()
	if err != nil {
		return m, err
	}
	sigmas := compare.Unmeasured(opts.Monitors)
	if len(sigmas) > 0 && rule.By.Whole() {
		return m, errors.New("a threshold in standard deviations needs chunks of the reference: --chunk")
	}
	progress := newProgressLine(con.err)
	defer progress.end()
	t, err := f.tableFlags.open(ctx, path, in, table.Options{Report: progress.table, Whole: f.timeColumns()})
	if err != nil {
		return m, err
	}
	defer func() { _ = t.Close() }() // it was only read
	if opts.Features, err = f.features(t); err != nil {
		return m, err
	}
	if !rule.By.Whole() {
		m.sample = chunk.NewSample(rule, chunk.Judged{Monitors: opts.Monitors, Outcome: opts.Outcome})
		m.profile, err = table.Profile(ctx, t, opts, m.sample.First(), m.sample.See)
	} else {
		m.profile, err = table.Profile(ctx, t, opts, nil, nil)
	}
	if err != nil {
		return m, err
	}
	if err := compare.Check(m.profile); err != nil {
		return m, err
	}
	return m, compare.Measure(m.profile, m.sample, sigmas)
}

func (f referenceFlags) timeColumns() []string {
	if f.Time == "" {
		return nil
	}
	return []string{f.Time}
}

// features are the columns to compare.
func (f referenceFlags) features(t table.Table) ([]string, error) {
	there := table.Names(t)
	for _, name := range slices.Concat(f.Ignore, f.timeColumns()) {
		if !slices.Contains(there, name) {
			return nil, table.NoColumn(t.Fields(), name)
		}
	}
	if len(f.Features) > 0 {
		return f.Features, nil
	}
	return slices.DeleteFunc(there, func(name string) bool { return name == f.Time || slices.Contains(f.Ignore, name) }), nil
}
