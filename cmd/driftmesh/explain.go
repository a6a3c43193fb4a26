package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

type driftExplainCmd struct {
	clientFlags
	Profile string        `arg:"" optional:"" help:"uid, space/name or space/name/version; not needed with --alert."`
	Feature string        `help:"The feature that moved; with --alert the one that moved most when not given."`
	Alert   string        `help:"Explain this alert: its profile, its range." placeholder:"ID"`
	Since   time.Duration `help:"How far back the range begins; 24h, or the alert's range, when not given."`
	Start   time.Time     `help:"Start of the range (RFC 3339), instead of --since." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	End     time.Time     `help:"End of the range (RFC 3339); now, or the alert's, when not given." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	Monitor string        `help:"The monitor whose finding is explained; the alert's, or the first that says that the feature moved, when not given." placeholder:"NAME"`
	Limit   uint32        `help:"How many slices." default:"10"`
	Bins    bool          `help:"Show the shares of all cells too."`
}

// Run explains a shift.
func (c driftExplainCmd) Run(ctx context.Context, con console) error {
	if c.Alert == "" && (c.Profile == "" || c.Feature == "") {
		return errors.New("a profile and --feature are needed, or --alert")
	}
	req := &driftv1.ExplainRequest{Profile: c.Profile, Feature: c.Feature, Alert: c.Alert, Monitor: c.Monitor, Limit: c.Limit}
	end := time.Now()
	if !c.End.IsZero() {
		end = c.End
		req.EndTime = timestamppb.New(end)
	}
	switch {
	case !c.Start.IsZero():
		req.StartTime = timestamppb.New(c.Start)
	case c.Since > 0:
		req.StartTime = timestamppb.New(end.Add(-c.Since))
	}
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.Explain, req,
		func(w io.Writer, r *driftv1.ExplainResponse) { explanation(w, r, c.Bins) })
}

// fewCells are shown unasked: right and wrong, true and false.
const fewCells = 3

func explanation(w io.Writer, r *driftv1.ExplainResponse, bins bool) {
	fmt.Fprintf(w, "%s of %s, %s to %s, %d records: %.1f%% of them would have to be elsewhere\n", safe(r.GetFeature(), true), r.GetProfileName(),
		stamp(r.GetStartTime()), stamp(r.GetEndTime()), r.GetRecords(), 100*r.GetShift())
	if bins || len(r.GetCells()) <= fewCells {
		binTable(w, r.GetCells())
	}
	switch {
	case !r.GetMoved():
		fmt.Fprintln(w, "no monitor finds that it moved: there is nothing to explain")
		return
	case len(r.GetSlices()) == 0:
		fmt.Fprintf(w, "none of %d slices carries more of it than its size explains\n", r.GetTried())
		return
	}
	row(w, "FEATURE", "VALUE", "RECORDS", "SHARE", "OF THE SHIFT", "LIFT", "ADJUSTED P")
	for _, s := range r.GetSlices() {
		value := s.GetValue()
		if s.GetUnseen() {
			value += " (new)"
		}
		row(w, s.GetFeature(), value, s.GetRecords(), fmt.Sprintf("%.1f%%", 100*s.GetShare()), fmt.Sprintf("%.1f%%", 100*s.GetShiftShare()),
			fmt.Sprintf("%.2f", s.GetLift()), number(s.GetAdjustedPValue()))
	}
	fmt.Fprintf(w, "%d slices were looked at\n", r.GetTried())
}
