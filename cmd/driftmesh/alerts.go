package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

type alertsCmd struct {
	List alertsListCmd `cmd:"" default:"withargs" help:"List alerts, the newest first."`
	Ack  alertsAckCmd  `cmd:"" help:"Say that you take an alert on."`

	Deliveries alertsDeliveriesCmd `cmd:"" help:"Show who was told what, when, and what failed."`
	Silence    alertsSilenceCmd    `cmd:"" help:"Keep alerts from being told for a while."`
}

type alertsListCmd struct {
	clientFlags
	Profile string `help:"Only of this profile."`
	Open    bool   `help:"Only those that are not over."`
	Limit   uint32 `help:"How many." default:"50"`
}

// Run lists alerts.
func (c alertsListCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.ListAlerts,
		&driftv1.ListAlertsRequest{Profile: c.Profile, OpenOnly: c.Open, PageSize: c.Limit}, func(w io.Writer, r *driftv1.ListAlertsResponse) {
			row(w, "ID", "STATE", "SEVERITY", "PROFILE", "MONITOR", "MOVED", "RAISED", "SEEN", "EXEMPLAR TRACE")
			for _, a := range r.GetAlerts() {
				exemplar := "-"
				if x := a.GetExemplarTraceIds(); len(x) > 0 {
					exemplar = x[0]
				}
				row(w, a.GetId(), alertState(a), enumText(a.GetSeverity(), "SEVERITY_"), a.GetProfileName(), a.GetMonitor(), movedText(a),
					stamp(a.GetRaiseTime()), a.GetOccurrences(), exemplar)
			}
		})
}

// movedShown bounds the features that a line names.
const movedShown = 3

// movedText names the features of an alert with their values, the worst first.
func movedText(a *driftv1.Alert) string {
	if a.GetFinding() != "" {
		return a.GetFinding()
	}
	var parts []string
	for _, s := range a.GetMoved()[:min(len(a.GetMoved()), movedShown)] {
		parts = append(parts, s.GetFeature()+" "+optional(s.Value))
	}
	if more := int(a.GetMovedCount()) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, ", ")
}

func alertState(a *driftv1.Alert) string {
	state := "open"
	switch {
	case a.GetResolveTime() != nil:
		state = "resolved"
	case a.GetAcknowledgeTime() != nil:
		state = "acknowledged"
	}
	if a.GetSilencedBy() != "" {
		state += ", silenced"
	}
	if a.GetLate() {
		state += ", late"
	}
	return state
}

type alertsAckCmd struct {
	clientFlags
	ID string `arg:"" help:"Id of the alert."`
}

// Run acknowledges the alert.
func (c alertsAckCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.AcknowledgeAlert,
		&driftv1.AcknowledgeAlertRequest{Id: c.ID}, func(w io.Writer, _ *driftv1.AcknowledgeAlertResponse) {
			row(w, "acknowledged", c.ID)
		})
}

type alertsDeliveriesCmd struct {
	clientFlags
	Alert string `arg:"" optional:"" help:"Only of this alert."`
	Route string `help:"Only to this route."`
	State string `help:"Only in this state: waiting, sent, failed, silenced or overtaken." enum:",waiting,sent,failed,silenced,overtaken" default:""`
	Limit uint32 `help:"How many." default:"50"`
}

// Run lists deliveries.
func (c alertsDeliveriesCmd) Run(ctx context.Context, con console) error {
	const prefix = "DELIVERY_STATE_"
	req := &driftv1.ListDeliveriesRequest{Alert: c.Alert, Route: c.Route, PageSize: c.Limit}
	if c.State != "" {
		req.State = driftv1.DeliveryState(driftv1.DeliveryState_value[prefix+strings.ToUpper(c.State)])
	}
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.ListDeliveries, req,
		func(w io.Writer, r *driftv1.ListDeliveriesResponse) {
			row(w, "MADE", "ROUTE", "CHANGE", "STATE", "SETTLED", "NEXT TRY", "ATTEMPTS", "ALERT", "ERROR")
			for _, d := range r.GetDeliveries() {
				row(w, stamp(d.GetCreateTime()), d.GetRoute(), d.GetChange(), enumText(d.GetState(), prefix), stamp(d.GetSettleTime()), stamp(d.GetDueTime()),
					d.GetAttempts(), d.GetAlert(), d.GetError())
			}
		})
}

type alertsSilenceCmd struct {
	Create silenceCreateCmd `cmd:"" help:"Make a silence: alerts that match all that is given are recorded and told to nobody."`
	List   silenceListCmd   `cmd:"" help:"List silences, the newest first."`
	Expire silenceExpireCmd `cmd:"" help:"End a silence before its time; what is still open is told."`
}

type silenceCreateCmd struct {
	clientFlags
	Space   string        `help:"Space of the profile; * is any text, ? any letter, here and below."`
	Profile string        `help:"Name of the profile."`
	Monitor string        `help:"Monitor."`
	Feature string        `help:"Every feature that moved."`
	Start   time.Time     `help:"When it begins (RFC 3339); now when not given." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	For     time.Duration `help:"How long it lasts." placeholder:"DURATION"`
	Until   time.Time     `help:"When it ends (RFC 3339), instead of --for." format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME"`
	Reason  string        `help:"Why." required:""`
}

// Run makes a silence.
func (c silenceCreateCmd) Run(ctx context.Context, con console) error {
	if (c.For > 0) == !c.Until.IsZero() {
		return errors.New("one of --for and --until says when it ends")
	}
	silence := &driftv1.Silence{Space: c.Space, Profile: c.Profile, Monitor: c.Monitor, Feature: c.Feature, Reason: c.Reason}
	start := time.Now()
	if !c.Start.IsZero() {
		start = c.Start
		silence.StartTime = timestamppb.New(start)
	}
	silence.EndTime = timestamppb.New(c.Until)
	if c.For > 0 {
		silence.EndTime = timestamppb.New(start.Add(c.For))
	}
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.CreateSilence,
		&driftv1.CreateSilenceRequest{Silence: silence}, func(w io.Writer, r *driftv1.CreateSilenceResponse) {
			silenceTable(w, r.GetSilence())
		})
}

type silenceListCmd struct {
	clientFlags
	All   bool   `help:"Also those that are over."`
	Limit uint32 `help:"How many." default:"50"`
}

// Run lists silences.
func (c silenceListCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.ListSilences,
		&driftv1.ListSilencesRequest{All: c.All, PageSize: c.Limit}, func(w io.Writer, r *driftv1.ListSilencesResponse) {
			silenceTable(w, r.GetSilences()...)
		})
}

type silenceExpireCmd struct {
	clientFlags
	ID string `arg:"" help:"Id of the silence."`
}

// Run ends a silence.
func (c silenceExpireCmd) Run(ctx context.Context, con console) error {
	return call(ctx, con, c.clientFlags, driftv1.NewDriftServiceClient, driftv1.DriftServiceClient.ExpireSilence,
		&driftv1.ExpireSilenceRequest{Id: c.ID}, func(w io.Writer, r *driftv1.ExpireSilenceResponse) {
			silenceTable(w, r.GetSilence())
		})
}

func silenceTable(w io.Writer, silences ...*driftv1.Silence) {
	row(w, "ID", "STATE", "MATCHES", "START", "END", "BY", "REASON")
	for _, s := range silences {
		row(w, s.GetId(), silenceState(s), silenceMatch(s), stamp(s.GetStartTime()), stamp(s.GetEndTime()), s.GetCreatedBy(), s.GetReason())
	}
}

func silenceState(s *driftv1.Silence) string {
	switch {
	case s.GetExpireTime() != nil:
		return "expired by " + s.GetExpiredBy()
	case s.GetActive():
		return "active"
	case s.GetEndTime().AsTime().Before(time.Now()):
		return "over"
	}
	return "to come"
}

// silenceMatch is what a silence matches, in one text.
func silenceMatch(s *driftv1.Silence) string {
	var parts []string
	for _, p := range []struct{ name, pattern string }{
		{"space", s.GetSpace()}, {"profile", s.GetProfile()}, {"monitor", s.GetMonitor()}, {"feature", s.GetFeature()},
	} {
		if p.pattern != "" {
			parts = append(parts, p.name+"="+p.pattern)
		}
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, " ")
}
