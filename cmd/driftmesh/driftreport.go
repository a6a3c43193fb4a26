package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/chunk"
	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/report"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// lookFlags say what of a registered profile is looked at.
type lookFlags struct {
	connectFlags
	Profile string        `arg:"" help:"uid, space/name or space/name/version."`
	Since   time.Duration `help:"How far back the range of the histograms begins." default:"24h"`
	Start   time.Time     `help:"Start of the range (RFC 3339), instead of --since." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	End     time.Time     `help:"End of the range (RFC 3339); now when not given." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	History time.Duration `help:"How far back from the end the statistics over time go." default:"720h"`
	Chunk   string        `help:"Cut the range into chunks instead, by event time: hour, day, week, month, quarter or year, and evaluate each." placeholder:"CHUNK"`
	Zone    string        `help:"Time zone of chunks." default:"UTC"`
	Points  uint32        `help:"Points of the statistics over time." default:"60"`
	Trigger string        `help:"What these are of: the schedule, or the close of windows." enum:"schedule,close" default:"schedule"`
}

// seen is what a look shows.
type seen struct {
	evaluation *driftv1.Evaluation
	when       string
	reference  uint64
	series     []*driftv1.Series
	chunks     []string // labels of the points of series, where these are chunks
}

// look asks for an evaluation of the range and for series.
func (f lookFlags) look(ctx context.Context, con console, monitor, feature string) (*seen, error) {
	start, end := span(f.Start, f.End, f.Since)
	conn, err := f.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	client := driftv1.NewDriftServiceClient(conn)
	known, err := client.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: f.Profile})
	if err != nil {
		return nil, err
	}
	s := &seen{reference: known.GetProfile().GetReferenceRows()}
	if err := f.fill(ctx, con, client, known.GetProfile().GetUid(), s, [2]time.Time{start, end}, [2]string{monitor, feature}); err != nil {
		return nil, err
	}
	return s, nil
}

// fill asks for what is to be seen of a range, and of one monitor and feature
// where they are named.
func (f lookFlags) fill(ctx context.Context, con console, client driftv1.DriftServiceClient, uid string, s *seen, span [2]time.Time, of [2]string) error {
	if f.Chunk != "" {
		return f.fillChunks(ctx, con, client, uid, s, span)
	}
	var err error
	s.evaluation, err = evaluateRange(ctx, con, client, &driftv1.EvaluateRangeRequest{
		Profile: uid, StartTime: timestamppb.New(span[0]), EndTime: timestamppb.New(span[1]),
	})
	if err != nil {
		return err
	}
	s.when = fmt.Sprintf("%s to %s", stamp(s.evaluation.GetStartTime()), stamp(s.evaluation.GetEndTime()))
	series, err := client.QuerySeries(ctx, &driftv1.QuerySeriesRequest{
		Profile: uid, Monitor: of[0], Feature: of[1], Points: f.Points, Trigger: f.Trigger,
		StartTime: timestamppb.New(span[1].Add(-f.History)), EndTime: timestamppb.New(span[1].Add(time.Microsecond)), // a slot now is part of it
	})
	s.series = series.GetSeries()
	return err
}

// fillChunks evaluates each chunk of a range. What is shown is the last that
// drifted, or the last.
func (f lookFlags) fillChunks(ctx context.Context, con console, client driftv1.DriftServiceClient, uid string, s *seen, span [2]time.Time) error {
	zone, err := time.LoadLocation(f.Zone)
	if err != nil {
		return fmt.Errorf("--zone: %w", err)
	}
	by, err := chunk.ParseBy(f.Chunk, zone)
	if err == nil && !by.Timed() {
		err = errors.New("--chunk: records are cut by their time, not by number")
	}
	if err != nil {
		return err
	}
	chunks, err := by.Spans(span[0], span[1])
	if err != nil {
		return err
	}
	places := map[[2]string]int{}
	for i, c := range chunks {
		e, err := evaluateRange(ctx, con, client, &driftv1.EvaluateRangeRequest{
			Profile: uid, StartTime: timestamppb.New(c.Start), EndTime: timestamppb.New(c.End),
		})
		if err != nil {
			return err
		}
		s.chunks = append(s.chunks, c.Label)
		if i == len(chunks)-1 && !drifted(s.evaluation) || drifted(e) {
			s.evaluation, s.when = e, c.Label
		}
		for _, score := range e.GetScores() {
			key := [2]string{score.GetMonitor(), score.GetFeature()}
			place, known := places[key]
			if !known {
				place = len(s.series)
				places[key] = place
				s.series = append(s.series, &driftv1.Series{Monitor: score.GetMonitor(), Feature: score.GetFeature(), Detector: score.GetDetector()})
			}
			s.series[place].Points = append(s.series[place].Points, &driftv1.SeriesPoint{
				FirstSlot: e.GetStartTime(), LastSlot: e.GetStartTime(), Slots: 1, Min: score.Value, Mean: score.Value, Max: score.Value,
				Verdict: score.GetVerdict(), Sample: score.GetSample(), Threshold: score.Threshold, LowerThreshold: score.LowerThreshold,
			})
		}
	}
	return nil
}

type driftReportCmd struct {
	lookFlags
	Out string `help:"File to write; - is standard output." short:"o" default:"report.html" placeholder:"FILE"`
}

// Run writes the report.
func (c driftReportCmd) Run(ctx context.Context, con console) error {
	s, err := c.look(ctx, con, "", "")
	if err != nil {
		return err
	}
	e := s.evaluation
	d := report.Data{
		Title: e.GetProfileName(), Evaluation: e, Rows: e.GetRecords(), Reference: s.reference, Made: time.Now(),
		When: s.when, Facts: []string{"uid " + e.GetProfile()},
	}
	for _, one := range s.series {
		d.Series = append(d.Series, seriesOf(one, s.chunks))
	}
	return writeReport(con, c.Out, d)
}

// seriesOf is a series as a report has it: labels are those of its points, or none
// where these are slots.
func seriesOf(s *driftv1.Series, labels []string) report.Series {
	out := report.Series{Monitor: s.GetMonitor(), Feature: s.GetFeature(), Detector: s.GetDetector()}
	for i, p := range s.GetPoints() {
		label := p.GetLastSlot().AsTime().UTC().Format("2006-01-02 15:04")
		if len(labels) == len(s.GetPoints()) {
			label = labels[i]
		}
		out.Points = append(out.Points, report.Point{
			Label: label, Low: p.Min, Value: p.Mean, High: p.Max,
			Threshold: p.Threshold, Lower: p.LowerThreshold, Verdict: p.GetVerdict(), Sample: p.GetSample(),
		})
	}
	return out
}

// writeReport writes a report to the file at path, whole or not at all.
func writeReport(con console, path string, d report.Data) error {
	if path == "-" {
		return report.Write(raw(con.out), d)
	}
	err := writeFile(path, func(w io.Writer) error { return report.Write(w, d) })
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	fmt.Fprintf(con.err, "the report is in %s\n", path)
	return nil
}

// writeFile writes a file beside the one at path, which it then takes the place
// of.
func writeFile(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".driftmesh-*")
	if err != nil {
		return err
	}
	err = errors.Join(write(file), file.Chmod(0o644), file.Close()) //nolint:gosec // a report is for others too
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// report is a comparison as a report: of chunks the last that drifted, or the last.
func (f *comparison) report() report.Data {
	k := f.chunks[len(f.chunks)-1]
	rows := 0
	for i, c := range f.chunks {
		rows += c.Rows
		if drifted(c.Evaluation) {
			k = f.chunks[i]
		}
	}
	d := report.Data{
		Title: f.title, Evaluation: k.Evaluation, Rows: uint64(k.Rows), Reference: referenceRows(f.made.profile), Made: time.Now(), //nolint:gosec // rows
	}
	if len(f.chunks) == 1 {
		d.When = "all rows"
		return d
	}
	d.When = k.Label
	d.Facts = []string{fmt.Sprintf("%d rows in %d chunks, %s to %s", rows, len(f.chunks), f.chunks[0].Label, f.chunks[len(f.chunks)-1].Label)}
	for _, s := range f.series() {
		d.Series = append(d.Series, s.report(f))
	}
	return d
}

func (s series) report(f *comparison) report.Series {
	out := report.Series{Monitor: s.monitor, Feature: s.feature}
	for i, score := range s.scores {
		p := report.Point{Label: f.chunks[i].Label, Verdict: driftv1.Verdict_VERDICT_INSUFFICIENT}
		if score != nil {
			out.Detector = score.GetDetector()
			p.Value, p.Threshold, p.Lower = score.Value, score.Threshold, score.LowerThreshold
			p.Verdict, p.Sample = score.GetVerdict(), score.GetSample()
		}
		out.Points = append(out.Points, p)
	}
	return out
}
