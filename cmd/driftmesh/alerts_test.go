package main

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// driftServer answers the commands over real gRPC, and keeps what they ask.
type driftServer struct {
	driftv1.UnimplementedDriftServiceServer
	silence    *driftv1.Silence
	deliveries *driftv1.ListDeliveriesRequest
	explain    *driftv1.ExplainRequest
}

func (d *driftServer) CreateSilence(_ context.Context, r *driftv1.CreateSilenceRequest) (*driftv1.CreateSilenceResponse, error) {
	d.silence = r.GetSilence()
	d.silence.Id, d.silence.Active, d.silence.CreatedBy = "s1", true, "ada"
	return &driftv1.CreateSilenceResponse{Silence: d.silence}, nil
}

func (d *driftServer) ListDeliveries(_ context.Context, r *driftv1.ListDeliveriesRequest) (*driftv1.ListDeliveriesResponse, error) {
	d.deliveries = r
	return &driftv1.ListDeliveriesResponse{Deliveries: []*driftv1.Delivery{{
		Route: "ops", Change: "raised", State: driftv1.DeliveryState_DELIVERY_STATE_FAILED, Attempts: 3, Alert: "a1", Error: "hooks.slack.com answered 404: no_service",
	}}}, nil
}

func (d *driftServer) ListAlerts(context.Context, *driftv1.ListAlertsRequest) (*driftv1.ListAlertsResponse, error) {
	return &driftv1.ListAlertsResponse{Alerts: []*driftv1.Alert{{Id: "a1", SilencedBy: "s1"}}}, nil
}

func (d *driftServer) Explain(_ context.Context, r *driftv1.ExplainRequest) (*driftv1.ExplainResponse, error) {
	d.explain = r
	return &driftv1.ExplainResponse{
		Feature: "amount", ProfileName: "pay/fraud/1.0.0", Moved: true, Shift: 0.31, Records: 1000, Tried: 40,
		Slices: []*driftv1.Slice{{Feature: "region", Value: "eu", Records: 300, Share: 0.3, ShiftShare: 0.9, Lift: 3, AdjustedPValue: 1e-20, Unseen: true}},
	}, nil
}

func TestAlertCommands(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	service, server := &driftServer{}, grpc.NewServer()
	driftv1.RegisterDriftServiceServer(server, service)
	go server.Serve(lis)
	t.Cleanup(server.Stop)
	command := func(want int, args ...string) (out, said string) {
		t.Helper()
		var o, e strings.Builder
		require.Equal(t, want, run(t.Context(), append(args, "--addr", lis.Addr().String()), console{out: &o, err: &e}), e.String())
		return o.String(), e.String()
	}
	out, _ := command(exitOK, "alerts", "silence", "create", "--space", "pay", "--monitor", "sh*", "--for", "2h", "--reason", "a deploy")
	require.Contains(t, out, "space=pay monitor=sh*")
	require.Contains(t, out, "active")
	require.WithinDuration(t, time.Now().Add(2*time.Hour), service.silence.GetEndTime().AsTime(), time.Minute)
	require.Equal(t, "a deploy", service.silence.GetReason())
	_, said := command(exitError, "alerts", "silence", "create", "--reason", "x")
	require.Contains(t, said, "one of --for and --until")
	_, said = command(exitUsage, "alerts", "silence", "create", "--for", "2h")
	require.Contains(t, said, "--reason")

	out, _ = command(exitOK, "alerts", "deliveries", "a1", "--state", "failed", "--route", "ops")
	require.Contains(t, out, "hooks.slack.com answered 404: no_service")
	require.Equal(t, driftv1.DeliveryState_DELIVERY_STATE_FAILED, service.deliveries.GetState())
	require.Equal(t, "a1", service.deliveries.GetAlert())
	out, _ = command(exitOK, "alerts", "list")
	require.Contains(t, out, "open, silenced")

	out, _ = command(exitOK, "drift", "explain", "pay/fraud", "--feature", "amount", "--end", "2026-11-21T12:00:00Z", "--since", "1h")
	require.Contains(t, out, "31.0% of them would have to be elsewhere")
	require.Contains(t, out, "eu (new)")
	require.Equal(t, timestamppb.New(time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)).AsTime(), service.explain.GetStartTime().AsTime())
	out, _ = command(exitOK, "drift", "explain", "--alert", "a1")
	require.Contains(t, out, "3.00")
	require.Nil(t, service.explain.GetStartTime(), "the alert's")
	command(exitError, "drift", "explain", "pay/fraud")
}

// What would stop the start is told by config check, routes included.
func TestConfigCheckAsksTheServices(t *testing.T) {
	check := func(args ...string) (int, string) {
		var out strings.Builder
		return run(t.Context(), append([]string{"config", "check"}, args...), console{out: &out, err: &out}), out.String()
	}
	code, _ := check()
	require.Equal(t, exitOK, code)
	for flag, want := range map[string]string{
		"--drift.poll=0s":                                      "drift.poll: must be positive",
		"--drift.routes={a: {type: pigeon}}":                   `drift.routes.a.type: is "pigeon"`,
		"--drift.rules=[{match: {}, routes: [gone]}]":          `drift.rules.1.routes: there is no route "gone", but console`,
		"--drift.routes={a: {type: slack, color: verysecret}}": "field color not found",
	} {
		code, said := check(flag)
		require.NotEqual(t, exitOK, code, flag)
		require.Contains(t, said, want)
		require.NotContains(t, said, "verysecret")
	}
}
