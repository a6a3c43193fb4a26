package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/detect"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/drift"
)

type driftCmd struct {
	Run       driftRunCmd       `cmd:"" help:"Evaluate a profile now."`
	Compare   driftCompareCmd   `cmd:"" help:"Hold a file against another, without a mesh."`
	Now       driftNowCmd       `cmd:"" help:"Evaluate a profile now as its schedule would: store the scores, raise and resolve alerts."`
	Show      driftShowCmd      `cmd:"" help:"Draw what drifted."`
	Report    driftReportCmd    `cmd:"" help:"Write a report as one HTML file."`
	Backtest  driftBacktestCmd  `cmd:"" help:"Replay a schedule over stored records: when would it have alerted?"`
	Scores    driftScoresCmd    `cmd:"" help:"Show the results of scheduled evaluations."`
	Explain   driftExplainCmd   `cmd:"" help:"Say which slices of the records carry a feature's shift."`
	Detectors driftDetectorsCmd `cmd:"" help:"List the detectors that a monitor can have."`
}

type driftRunCmd struct {
	clientFlags
	Profile string        `arg:"" help:"uid, space/name or space/name/version."`
	Since   time.Duration `help:"How far back the range begins." default:"24h"`
	Start   time.Time     `help:"Start of the range (RFC 3339), instead of --since." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	End     time.Time     `help:"End of the range (RFC 3339); now when not given." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	Alert   bool          `help:"Raise and resolve alerts as a scheduled evaluation would."`
	Bins    bool          `help:"Show what each bin adds."`
	Wait    time.Duration `help:"How long to wait at most for records, labels and spans that were sent before to be counted." default:"10s"`

	ExitCode bool `help:"Exit with 3 when anything drifted."`
}

// span is the range that --start, --end and --since name.
func span(start, end time.Time, since time.Duration) (from, to time.Time) {
	if end.IsZero() {
		end = time.Now()
	}
	if start.IsZero() {
		start = end.Add(-since)
	}
	return start, end
}

// errDrifted makes the command end with exitDrift.
var errDrifted = errors.New("drift was found")

// Run evaluates and shows the scores.
func (c driftRunCmd) Run(ctx context.Context, con console) error {
	start, end := span(c.Start, c.End, c.Since)
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	result, err := evaluateRange(ctx, con, driftv1.NewDriftServiceClient(conn), &driftv1.EvaluateRangeRequest{
		Profile: c.Profile, StartTime: timestamppb.New(start), EndTime: timestamppb.New(end), Alert: c.Alert, Wait: durationpb.New(c.Wait),
	})
	if err != nil {
		return err
	}
	err = c.show(con.out, &driftv1.EvaluateResponse{Evaluation: result}, func(w *tabwriter.Writer) { evaluation(w, result, c.Bins) })
	if err == nil && c.ExitCode && drifted(result) {
		return errDrifted
	}
	return err
}

// evaluateRange asks, and shows how far it is. When ctx ends so does the work
// behind it.
func evaluateRange(ctx context.Context, con console, client driftv1.DriftServiceClient, req *driftv1.EvaluateRangeRequest) (*driftv1.Evaluation, error) {
	stream, err := client.EvaluateRange(ctx, req)
	if err != nil {
		return nil, err
	}
	line := newProgressLine(con.err)
	defer line.end()
	for {
		resp, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if e := resp.GetEvaluation(); e != nil {
			return e, nil
		}
		if topic := resp.GetBehind(); topic != "" {
			line.end()
			fmt.Fprintf(con.err, "after %s the topic %s still holds what was sent before: it is not counted\n", req.GetWait().AsDuration(), topic)
			continue
		}
		line.part("recomputing", resp.GetProgress())
	}
}

type driftNowCmd struct {
	clientFlags
	Profile string `arg:"" help:"uid, space/name or space/name/version."`
}

// Run runs the slot that is due, or one of the present minute.
func (c driftNowCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.RunNow,
		&driftv1.RunNowRequest{Profile: c.Profile}, func(w io.Writer, r *driftv1.RunNowResponse) { evaluation(w, r.GetEvaluation(), false) })
}

func evaluation(w io.Writer, e *driftv1.Evaluation, bins bool) {
	fmt.Fprintf(w, "%s, %s to %s, %d records\n", e.GetProfileName(), stamp(e.GetStartTime()), stamp(e.GetEndTime()), e.GetRecords())
	scoreTable(w, e, bins)
}

// scoreTable has a line for each score.
func scoreTable(w io.Writer, e *driftv1.Evaluation, bins bool) {
	row(w, "MONITOR", "FEATURE", "VERDICT", "DETECTOR", "VALUE", "THRESHOLD", "ADJUSTED P", "SAMPLE", "REFERENCE", "MISSING", "MOVED MOST")
	for _, s := range e.GetScores() {
		row(w, s.GetMonitor(), s.GetFeature(), enumText(s.GetVerdict(), "VERDICT_"), s.GetDetector(), optional(s.Value), optional(s.Threshold),
			optional(s.AdjustedPValue), s.GetSample(), s.GetReference(), missing(s), strongest(s))
		if bins {
			binTable(w, s.GetBins())
			binTable(w, s.GetStates())
		}
	}
}

func binTable(w io.Writer, bins []*driftv1.BinScore) {
	for _, b := range bins {
		exemplar := ""
		if x := b.GetExemplars(); len(x) > 0 {
			exemplar = x[0].GetTraceId()
		}
		row(w, "", "  "+b.GetLabel(), fmt.Sprintf("%.1f%% → %.1f%%", 100*b.GetExpected(), 100*b.GetObserved()), "",
			number(b.GetContribution()), "", "", b.GetCount(), "", "", exemplar)
	}
}

// missing is how many values were missing.
func missing(s *driftv1.Score) uint64 {
	for _, b := range s.GetStates() {
		if b.GetLabel() == profile.Missing.String() {
			return b.GetCount()
		}
	}
	return 0
}

// strongest is the bin that adds most, with the share it had and has.
func strongest(s *driftv1.Score) string {
	var top *driftv1.BinScore
	for _, b := range slices.Concat(s.GetBins(), s.GetStates()) {
		if top == nil || b.GetContribution() > top.GetContribution() {
			top = b
		}
	}
	if top == nil || s.Value == nil || top.GetContribution() == 0 { // nothing was seen, or it is not about values
		return "-"
	}
	return fmt.Sprintf("%s: %.0f%% → %.0f%%", top.GetLabel(), 100*top.GetExpected(), 100*top.GetObserved())
}

func number(v float64) string { return fmt.Sprintf("%.4g", v) }

// optional is a number, or a dash where there is none.
func optional(v *float64) string {
	if v == nil {
		return "-"
	}
	return number(*v)
}

type driftScoresCmd struct {
	clientFlags
	Profile string `arg:"" help:"uid, space/name or space/name/version."`
	Limit   uint32 `help:"How many evaluations." default:"5"`
}

// Run shows stored evaluations.
func (c driftScoresCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.ListScores,
		&driftv1.ListScoresRequest{Profile: c.Profile, PageSize: c.Limit}, func(w io.Writer, r *driftv1.ListScoresResponse) {
			for _, e := range r.GetEvaluations() {
				evaluation(w, e, false)
			}
		})
}

type driftDetectorsCmd struct{}

// Run lists the detectors with their parameters and defaults.
func (driftDetectorsCmd) Run(con console) error {
	w := tabwriter.NewWriter(con.out, 0, 4, 2, ' ', 0)
	row(w, "DETECTOR", "WHAT IT SEES", "PARAMETERS")
	for _, d := range drift.Detectors() {
		var parameters []string
		for _, p := range d.Params {
			if p.Name != detect.Alpha && p.Name != detect.Minimum { // those follow from threshold and minimum sample
				parameters = append(parameters, fmt.Sprintf("%s=%v", p.Name, p.Default))
			}
		}
		row(w, d.Name, d.Help, strings.Join(parameters, " "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(con.out)
	row(w, "CANNOT BE USED", "WHY")
	for _, d := range detect.All {
		if why := drift.Unusable(d); why != "" {
			row(w, d.Name, why)
		}
	}
	return w.Flush()
}

// detectorNames are the names of the detectors, as kong takes an enum.
func detectorNames() string {
	var names []string
	for _, d := range drift.Detectors() {
		names = append(names, d.Name)
	}
	return strings.Join(names, ",")
}
