package demo

import (
	"fmt"
	"io"
	"text/tabwriter"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// Guide knows how a user reaches this mesh.
type Guide struct {
	HTTP    string // address of REST and of Jaeger's API
	Program string // how the user calls the program
	Flags   string // what its commands need to find this mesh; empty where the defaults do
}

func (g Guide) command(args string) string {
	if g.Flags != "" {
		args += " " + g.Flags
	}
	return g.Program + " " + args
}

func (g Guide) traceURL(id string) string { return "http://" + g.HTTP + "/traces/" + id }

func (g Guide) searchURL() string {
	return "http://" + g.HTTP + "/jaeger/api/traces?service=" + frontend + "&limit=5"
}

// exemplarsShown bounds the traces that are listed.
const exemplarsShown = 3

// report tells of an alert: which features moved, how the bins of the foremost
// did, the traces behind it, and, the first time, where to look further.
func report(to io.Writer, alert *driftv1.Alert, features int, first bool, guide Guide) {
	fmt.Fprintf(to, "\nDRIFT in %s from %s to %s: %d of %d features moved\n\n", alert.GetProfileName(),
		alert.GetRangeStart().AsTime().Local().Format(clock), alert.GetRangeEnd().AsTime().Local().Format(clock), alert.GetMovedCount(), features)
	table(to, func(w io.Writer) {
		fmt.Fprintf(w, "  FEATURE\tPSI\tABOVE\tRECORDS\tMOVED MOST\tREFERENCE\tNOW\n")
		for _, s := range alert.GetMoved() {
			b := strongestBin(s)
			fmt.Fprintf(w, "  %s\t%.2f\t%.2f\t%d\t%s\t%s\t%s\n", s.GetFeature(), s.GetValue(), s.GetThreshold(), s.GetSample(),
				b.GetLabel(), percent(b.GetExpected()), percent(b.GetObserved()))
		}
	})
	if !first {
		fmt.Fprintln(to)
		return
	}
	top := alert.GetMoved()[0] // an alert has one at least
	fmt.Fprintf(to, "\n%s, bin by bin:\n\n", top.GetFeature())
	table(to, func(w io.Writer) {
		fmt.Fprintf(w, "  BIN\tREFERENCE\tNOW\tADDS TO THE PSI\n")
		for _, b := range top.GetBins() {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%.3f\n", b.GetLabel(), percent(b.GetExpected()), percent(b.GetObserved()), b.GetContribution())
		}
	})
	traces := alert.GetExemplarTraceIds()
	traces = traces[:min(len(traces), exemplarsShown)]
	fmt.Fprintf(to, "\nTraces that moved it (see shop.campaign in their first span):\n\n")
	for _, id := range traces {
		fmt.Fprintf(to, "  %s\n", guide.traceURL(id))
	}
	fmt.Fprintf(to, "\nLook at it:\n\n")
	if len(traces) > 0 {
		fmt.Fprintf(to, "  %s\n", guide.command("traces show "+traces[0]))
	}
	for _, args := range []string{"alerts", "drift run " + Space + "/" + Name + " --since 2m", "ledger"} {
		fmt.Fprintf(to, "  %s\n", guide.command(args))
	}
	fmt.Fprintf(to, "\nThe load goes on. Stop with Ctrl-C.\n\n")
}

func table(to io.Writer, fill func(io.Writer)) {
	w := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	fill(w)
	_ = w.Flush() // a console that does not take it has nobody to tell
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

// strongestBin is the bin that adds most to the score.
func strongestBin(s *driftv1.Score) *driftv1.BinScore {
	var top *driftv1.BinScore
	for _, b := range s.GetBins() {
		if top == nil || b.GetContribution() > top.GetContribution() {
			top = b
		}
	}
	return top
}
