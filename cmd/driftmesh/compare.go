package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/chunk"
	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/compare"
	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/plot"
	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

type driftCompareCmd struct {
	Reference string `arg:"" help:"Reference data: CSV (.csv, .tsv or .txt, also .gz and .zst), Parquet, Arrow or Feather."`
	Current   string `arg:"" help:"The data to hold against it, likewise; - is standard input."`
	referenceFlags
	All      bool   `help:"Of chunks, show every verdict, and not only what drifted."`
	Plot     bool   `help:"Draw what drifted."`
	Report   string `help:"Write a report as one HTML file, too; - is standard output, and then there is nothing else." placeholder:"FILE"`
	Output   string `help:"Form of the answer: table, json or yaml." short:"o" enum:"table,json,yaml" default:"table"`
	ExitCode bool   `help:"Exit with 3 when anything drifted."`
}

// comparison is what was found.
type comparison struct {
	title  string // what was compared with what
	made   made
	chunks []compare.Chunk
}

// Run compares the tables in this process.
func (c driftCompareCmd) Run(ctx context.Context, con console) error {
	found, err := c.compare(ctx, con)
	if err != nil {
		return err
	}
	if c.Report != "-" {
		if err := c.show(con, found); err != nil {
			return err
		}
	}
	if c.Report != "" {
		if err := writeReport(con, c.Report, found.report()); err != nil {
			return err
		}
	}
	if c.ExitCode && found.drifted() {
		return errDrifted
	}
	return nil
}

func (c driftCompareCmd) compare(ctx context.Context, con console) (*comparison, error) {
	m, err := c.make(ctx, con, c.Reference, os.Stdin, profile.Options{Space: "compare", Name: "reference"})
	if err != nil {
		return nil, fmt.Errorf("read the reference: %w", err)
	}
	rule, err := c.rule()
	if err != nil {
		return nil, err
	}
	sample := chunk.NewSample(rule, chunk.Judged{Monitors: m.profile.Monitors, Outcome: m.profile.Outcome})
	if err := c.count(ctx, con, sample, m.profile); err != nil {
		return nil, fmt.Errorf("read the current data: %w", err)
	}
	if len(sample.Cut.Chunks) == 0 {
		return nil, fmt.Errorf("%s has no rows", c.Current)
	}
	found := &comparison{title: c.Current + " against " + c.Reference, made: m}
	found.chunks, err = compare.Judge(m.profile, sample)
	return found, err
}

func (c driftCompareCmd) count(ctx context.Context, con console, sample *chunk.Sample, p *profile.Profile) error {
	progress := newProgressLine(con.err)
	defer progress.end()
	t, err := c.tableFlags.open(ctx, c.Current, os.Stdin, table.Options{Report: progress.table, Whole: c.timeColumns(), Types: typesOf(p)})
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }() // it was only read
	absent, err := sample.Read(ctx, t, p)
	progress.end()
	if len(absent) > 0 && err == nil {
		fmt.Fprintf(con.err, "%s has no column of %s: counts as missing\n", c.Current, strings.Join(absent, ", "))
	}
	return err
}

func (f *comparison) drifted() bool {
	return slices.ContainsFunc(f.chunks, func(c compare.Chunk) bool { return drifted(c.Evaluation) })
}

func drifted(e *driftv1.Evaluation) bool {
	return slices.ContainsFunc(e.GetScores(), isDrift)
}

func isDrift(s *driftv1.Score) bool { return s.GetVerdict() == driftv1.Verdict_VERDICT_DRIFT }

// chunkJSON is the form of a chunk in JSON and YAML; the evaluation is as the
// server gives it.
type chunkJSON struct {
	Label      string          `json:"label"`
	Start      *time.Time      `json:"start_time,omitempty"`
	End        *time.Time      `json:"end_time,omitempty"`
	Rows       int             `json:"rows"`
	Partial    bool            `json:"partial,omitempty"`
	Evaluation json.RawMessage `json:"evaluation"`
}

func (c driftCompareCmd) show(con console, found *comparison) error {
	if c.Output == "table" {
		return c.table(con, found)
	}
	chunks := make([]chunkJSON, len(found.chunks))
	for i, k := range found.chunks {
		raw, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(k.Evaluation)
		if err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		chunks[i] = chunkJSON{Label: k.Label, Rows: k.Rows, Partial: k.Partial, Evaluation: raw}
		if !k.End.IsZero() {
			chunks[i].Start, chunks[i].End = &k.Start, &k.End
		}
	}
	raw, err := json.Marshal(struct {
		Drift  bool        `json:"drift"`
		Chunks []chunkJSON `json:"chunks"`
	}{found.drifted(), chunks})
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return clientFlags{Output: c.Output}.showJSON(con.out, string(raw))
}

func (c driftCompareCmd) table(con console, found *comparison) error {
	w := tabwriter.NewWriter(con.out, 0, 4, 2, ' ', 0)
	first := found.chunks[0]
	if c.Chunk == "" {
		fmt.Fprintf(w, "%s: %d rows, reference %d\n", safe(found.title, true), first.Rows, referenceRows(found.made.profile))
		scoreTable(w, first.Evaluation, false)
	} else {
		chunkTable(w, found, c.All)
	}
	if err := w.Flush(); err != nil || !c.Plot {
		return err
	}
	style := terminalStyle(con.out)
	for _, k := range slices.Backward(found.chunks) { // of chunks, the last that drifted
		if drifted(k.Evaluation) || len(found.chunks) == 1 {
			return plotDrifted(raw(con.out), style, k)
		}
	}
	return nil
}

func referenceRows(p *profile.Profile) uint64 {
	if len(p.Features) == 0 {
		return 0
	}
	return p.Features[0].Baseline.Rows
}

// plotDrifted draws each feature that drifted once, by the first monitor that
// says so.
func plotDrifted(out io.Writer, style plot.Style, k compare.Chunk) error {
	shown := map[string]bool{}
	for _, s := range k.Evaluation.GetScores() {
		if !isDrift(s) || shown[s.GetFeature()] {
			continue
		}
		shown[s.GetFeature()] = true
		where := ""
		if k.Label != "all" {
			where = " in " + k.Label
		}
		fmt.Fprintf(out, "\n%s%s: %s %s, threshold %s, %d values, reference %d\n", safe(s.GetFeature(), true), where,
			s.GetDetector(), optional(s.Value), bounds(s), s.GetSample(), s.GetReference())
		if err := style.Histogram(out, s); err != nil {
			return err
		}
	}
	return nil
}

// bounds are the thresholds of a score.
func bounds(s *driftv1.Score) string {
	if s.LowerThreshold == nil {
		return optional(s.Threshold)
	}
	return optional(s.LowerThreshold) + " to " + optional(s.Threshold)
}

// series are the scores of one monitor and feature over the chunks; nil where
// there was none.
type series struct {
	monitor, feature string
	scores           []*driftv1.Score
}

func (f *comparison) series() []series {
	var all []series
	places := map[[2]string]int{}
	for i, k := range f.chunks {
		for _, s := range k.Evaluation.GetScores() {
			key := [2]string{s.GetMonitor(), s.GetFeature()}
			place, known := places[key]
			if !known {
				place = len(all)
				places[key] = place
				all = append(all, series{s.GetMonitor(), s.GetFeature(), make([]*driftv1.Score, len(f.chunks))})
			}
			all[place].scores[i] = s
		}
	}
	return all
}

// lineColumns is how wide a line over chunks is in a table.
const lineColumns = 40

// chunkTable has a line for each monitor and feature: its statistic over the
// chunks, and where it drifted.
func chunkTable(w io.Writer, found *comparison, all bool) {
	last := found.chunks[len(found.chunks)-1]
	fmt.Fprintf(w, "%s: %d chunks, %s to %s\n", safe(found.title, true), len(found.chunks), found.chunks[0].Label, last.Label)
	if all {
		row(w, "CHUNK", "ROWS", "MONITOR", "FEATURE", "VERDICT", "VALUE", "THRESHOLD", "ADJUSTED P", "SAMPLE")
		for _, k := range found.chunks {
			for _, s := range k.Evaluation.GetScores() {
				row(w, k.Label, k.Rows, s.GetMonitor(), s.GetFeature(), enumText(s.GetVerdict(), "VERDICT_"), optional(s.Value), bounds(s),
					optional(s.AdjustedPValue), s.GetSample())
			}
		}
		return
	}
	row(w, "MONITOR", "FEATURE", "OVER TIME", "LAST", "THRESHOLD", "DRIFT IN")
	for _, s := range found.series() {
		newest := s.scores[len(s.scores)-1]
		row(w, s.monitor, s.feature, plot.Style{}.Line(points(s.scores), lineColumns), optional(value(newest)), bounds(newest), driftIn(found, s))
	}
}

func value(s *driftv1.Score) *float64 {
	if s == nil {
		return nil
	}
	return s.Value
}

// labelsShown bounds the chunks that a line names.
const labelsShown = 6

func driftIn(found *comparison, s series) string {
	var labels []string
	n := 0
	for i, score := range s.scores {
		if score == nil || !isDrift(score) {
			continue
		}
		if n++; len(labels) < labelsShown {
			labels = append(labels, found.chunks[i].Label)
		}
	}
	switch {
	case n == 0:
		return "-"
	case n == len(s.scores):
		return "all"
	case n > len(labels):
		return fmt.Sprintf("%s and %d more", strings.Join(labels, ", "), n-len(labels))
	}
	return strings.Join(labels, ", ")
}
