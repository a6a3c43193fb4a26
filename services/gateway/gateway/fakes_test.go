package gateway_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

const wineUID = "01900000-0000-7000-8000-000000000001"

// fakeDrift knows the profile wine/red of tenant acme and of nobody else.
type fakeDrift struct {
	driftv1.UnimplementedDriftServiceServer
	mu    sync.Mutex
	asked int
	away  bool

	entered, release chan struct{} // when not nil: GetProfile says so and waits
}

func newFakeDrift() *fakeDrift { return &fakeDrift{} }

func (d *fakeDrift) setAway(away bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = away
}

func (d *fakeDrift) GetProfile(ctx context.Context, req *driftv1.GetProfileRequest) (*driftv1.GetProfileResponse, error) {
	if d.entered != nil {
		d.entered <- struct{}{}
		<-d.release
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.away {
		return nil, fault.Unavailable.New("drift is away")
	}
	tenant, err := identity.Tenant(ctx)
	if err != nil {
		return nil, err
	}
	name := req.GetProfile()
	if tenant != "acme" && tenant != "default" || name != wineUID && !strings.HasPrefix(name, "wine/red") {
		return nil, fault.NotFound.New("no profile %q", name)
	}
	return &driftv1.GetProfileResponse{Profile: &driftv1.Profile{
		Uid: wineUID, Space: "wine", Name: "red", Version: "1.0.0",
		Features: []*driftv1.FeatureProfile{
			{Name: "alcohol", Kind: driftv1.FeatureKind_FEATURE_KIND_NUMERIC, Type: "float"},
			{Name: "quality", Kind: driftv1.FeatureKind_FEATURE_KIND_NUMERIC, Type: "int"},
			{Name: "colour", Kind: driftv1.FeatureKind_FEATURE_KIND_CATEGORY, Type: "string"},
			{Name: "organic", Kind: driftv1.FeatureKind_FEATURE_KIND_CATEGORY, Type: "bool"},
			{Name: "vintage", Kind: driftv1.FeatureKind_FEATURE_KIND_CATEGORY, Type: "int"},
		},
	}}, nil
}

func (d *fakeDrift) ListAlerts(ctx context.Context, _ *driftv1.ListAlertsRequest) (*driftv1.ListAlertsResponse, error) {
	tenant, err := identity.Tenant(ctx)
	return &driftv1.ListAlertsResponse{Alerts: []*driftv1.Alert{{Id: "alert-of-" + tenant}}}, err
}

// fakeTraces tells each tenant a service name of its own, and has one trace.
type fakeTraces struct {
	tracev1.UnimplementedTraceServiceServer
}

func (f *fakeTraces) ListServices(ctx context.Context, _ *tracev1.ListServicesRequest) (*tracev1.ListServicesResponse, error) {
	tenant, err := identity.Tenant(ctx)
	return &tracev1.ListServicesResponse{Services: []string{"service-of-" + tenant}}, err
}

const knownTrace = "0102030405060708090a0b0c0d0e0f10"

func (f *fakeTraces) GetTrace(req *tracev1.GetTraceRequest, stream grpc.ServerStreamingServer[tracev1.GetTraceResponse]) error {
	if req.GetTraceId() != knownTrace {
		return fault.NotFound.New("no span of this trace is stored")
	}
	for i := range 3 {
		raw, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
			ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
				TraceId: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
				SpanId:  []byte{0, 0, 0, 0, 0, 0, 0, byte(i + 1)}, Name: "part",
				StartTimeUnixNano: 1_700_000_000_000_000_000, EndTimeUnixNano: 1_700_000_000_000_123_000,
			}}}},
		}}})
		if err != nil {
			return err
		}
		if err := stream.Send(&tracev1.GetTraceResponse{OtlpTraces: raw}); err != nil {
			return err
		}
	}
	return nil
}

type fakeAuth struct {
	authv1.UnimplementedAuthServiceServer

	logins fakeLogins
}

func (*fakeAuth) Login(_ context.Context, req *authv1.LoginRequest) (*authv1.LoginResponse, error) {
	if req.GetPassword() != "right" {
		return nil, fault.Unauthenticated.New("wrong name or password").WithReason("LOGIN_REFUSED")
	}
	ends := timestamppb.New(time.Now().Add(time.Minute))
	return &authv1.LoginResponse{Token: "a.b.c", ExpireTime: ends, RefreshToken: "r", SessionExpireTime: ends, Device: "d"}, nil
}

var errNoSession = fault.Unauthenticated.New("no such session").WithReason("SESSION_ENDED")

func (*fakeAuth) RefreshToken(context.Context, *authv1.RefreshTokenRequest) (*authv1.RefreshTokenResponse, error) {
	return nil, errNoSession
}

func (*fakeAuth) Logout(_ context.Context, req *authv1.LogoutRequest) (*authv1.LogoutResponse, error) {
	if req.GetRefreshToken() == "" {
		return nil, errNoSession
	}
	return &authv1.LogoutResponse{}, nil // auth tells nobody that there was no such session
}

func (*fakeAuth) ChangePassword(context.Context, *authv1.ChangePasswordRequest) (*authv1.ChangePasswordResponse, error) {
	return nil, errNoSession
}

func (*fakeAuth) ListKeys(context.Context, *authv1.ListKeysRequest) (*authv1.ListKeysResponse, error) {
	return &authv1.ListKeysResponse{Jwks: `{"keys":[]}`}, nil
}

func (*fakeAuth) WhoAmI(ctx context.Context, _ *authv1.WhoAmIRequest) (*authv1.WhoAmIResponse, error) {
	id, _ := identity.From(ctx)
	return &authv1.WhoAmIResponse{Tenant: id.Tenant, Subject: id.Subject, Kind: string(id.Kind), Role: string(id.Role)}, nil
}

// fakeAudit keeps what it is told, unless it is away.
type fakeAudit struct {
	auditv1.UnimplementedAuditServiceServer

	mu      sync.Mutex
	away    bool
	entries []*auditv1.Entry
}

func (f *fakeAudit) Record(_ context.Context, req *auditv1.RecordRequest) (*auditv1.RecordResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, fault.Unavailable.New("away")
	}
	for _, e := range req.GetEntries() { // one that is there already stays, as with the real one
		if !slices.ContainsFunc(f.entries, func(o *auditv1.Entry) bool { return o.GetId() == e.GetId() }) {
			f.entries = append(f.entries, e)
		}
	}
	return &auditv1.RecordResponse{}, nil
}

func (f *fakeAudit) set(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

// find gives the entries of a method by how it ended.
func (f *fakeAudit) find(method, outcome string) (found []*auditv1.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.entries {
		if e.GetAction() == method && e.GetOutcome() == outcome {
			found = append(found, e)
		}
	}
	return found
}

// fakeLedger has settled three of everybody's.
type fakeLedger struct {
	ledgerv1.UnimplementedLedgerServiceServer
	signal string
}

func (f *fakeLedger) GetSettled(context.Context, *ledgerv1.GetSettledRequest) (*ledgerv1.GetSettledResponse, error) {
	return &ledgerv1.GetSettledResponse{
		Signal: f.signal, Stored: 3,
		Instances: []*ledgerv1.InstanceSettled{{Instance: "gw-1", Accepted: 3, Written: 3, Messages: 1}},
	}, nil
}
