package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
)

type recordsListCmd struct {
	clientFlags
	Trace     string `help:"Those that were sent in this trace." placeholder:"ID"`
	Span      string `help:"With --trace: those that were sent in this span." placeholder:"ID"`
	Profile   string `help:"Only of this profile: its uid, space/name or space/name/version." placeholder:"PROFILE"`
	Record    string `help:"With --profile: the one of this id, and the trace that it was sent in." placeholder:"ID"`
	Limit     uint32 `help:"How many, at most 200." default:"50"`
	PageToken string `help:"Go on where a list ended." placeholder:"TOKEN"`
}

// Run lists the records of a trace, or those of one id with their traces.
func (c recordsListCmd) Run(ctx context.Context, con console) error {
	if c.Trace == "" && (c.Profile == "" || c.Record == "") {
		return fault.Invalid.New("--trace is needed, or --profile and --record")
	}
	return call(ctx, con, c.clientFlags, recordv1.NewRecordServiceClient, recordv1.RecordServiceClient.ListRecords, &recordv1.ListRecordsRequest{
		TraceId: c.Trace, SpanId: c.Span, Profile: c.Profile, RecordId: c.Record, PageSize: c.Limit, PageToken: c.PageToken,
	}, func(w io.Writer, r *recordv1.ListRecordsResponse) {
		row(w, "TIME", "KIND", "PROFILE", "RECORD", "TRACE", "SPAN", "VALUES")
		for _, s := range r.GetRecords() {
			kind, values := recordBody(s.GetRecord())
			row(w, stamp(s.GetRecord().GetEventTime()), kind, s.GetProfileName(), printable(s.GetRecord().GetId()), s.GetTraceId(), s.GetSpanId(),
				short(printable(values), 100))
		}
		if r.GetNextPageToken() != "" {
			fmt.Fprintf(w, "\nThere are more: --page-token %s\n", r.GetNextPageToken())
		}
	})
}

// recordBody is what a record is, and what it says in one line.
func recordBody(r *ingestv1.Record) (kind, values string) {
	switch body := r.GetBody().(type) {
	case *ingestv1.Record_Features:
		return "features", featureText(body.Features)
	case *ingestv1.Record_Labels:
		return "labels", featureText(body.Labels)
	case *ingestv1.Record_Metrics:
		var list []string
		for _, m := range body.Metrics.GetValues() {
			list = append(list, fmt.Sprintf("%s=%g", m.GetName(), m.GetValue()))
		}
		return "metrics", strings.Join(list, " ")
	case *ingestv1.Record_Context:
		return "context", body.Context.GetJson()
	}
	return "", ""
}

func featureText(f *ingestv1.Features) string {
	var list []string
	for _, v := range f.GetValues() {
		text := ""
		switch x := v.GetValue().(type) {
		case *ingestv1.Feature_Int:
			text = strconv.FormatInt(x.Int, 10)
		case *ingestv1.Feature_Float:
			text = fmt.Sprintf("%g", x.Float)
		case *ingestv1.Feature_String_:
			text = fmt.Sprintf("%q", x.String_)
		case *ingestv1.Feature_Bool:
			text = strconv.FormatBool(x.Bool)
		}
		list = append(list, v.GetName()+"="+text)
	}
	return strings.Join(list, " ")
}
