package main

import (
	"cmp"
	"context"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
)

type sendersCmd struct {
	clientFlags
	Trace   string        `help:"Id of a trace: who sent its spans." placeholder:"ID"`
	Profile string        `help:"Uid or space/name of a profile: who sent the records behind its scores." placeholder:"PROFILE"`
	Record  string        `help:"With --profile: who sent this record." placeholder:"ID"`
	Since   time.Duration `help:"How far back the range of event times begins." default:"24h"`
	Start   time.Time     `help:"Start of the range (RFC 3339), instead of --since." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	End     time.Time     `help:"End of the range (RFC 3339); now when not given." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
}

// Run shows who sent the data behind a span, a record or a score.
func (c sendersCmd) Run(ctx context.Context, con console) error {
	req, err := c.request()
	if err != nil {
		return err
	}
	return call(ctx, con, c.clientFlags, ledgerv1.NewLedgerServiceClient, ledgerv1.LedgerServiceClient.ListSenders, req, showSenders)
}

func (c sendersCmd) request() (*ledgerv1.ListSendersRequest, error) {
	switch {
	case (c.Trace == "") == (c.Profile == ""):
		return nil, fault.Invalid.New("--trace or --profile: one of them is needed")
	case c.Trace != "":
		return &ledgerv1.ListSendersRequest{Data: &ledgerv1.ListSendersRequest_TraceId{TraceId: c.Trace}}, nil
	}
	records := &ledgerv1.RecordsSent{Profile: c.Profile, RecordId: c.Record}
	if c.Record == "" {
		start, end := span(c.Start, c.End, c.Since)
		records.StartTime, records.EndTime = timestamppb.New(start), timestamppb.New(end)
	}
	return &ledgerv1.ListSendersRequest{Data: &ledgerv1.ListSendersRequest_Records{Records: records}}, nil
}

func showSenders(w io.Writer, r *ledgerv1.ListSendersResponse) {
	row(w, "SENDER", "KIND", "ITEMS", "FIRST ACCEPTED", "LAST ACCEPTED")
	for _, s := range r.GetSent() {
		row(w, cmp.Or(s.GetSender(), "(not known)"), s.GetKind(), s.GetItems(),
			s.GetFirstTime().AsTime().Format(time.RFC3339), s.GetLastTime().AsTime().Format(time.RFC3339))
	}
}
