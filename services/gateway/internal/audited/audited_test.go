package audited_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/audit"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	deadletterv1 "github.com/driftmesh/driftmesh/proto/driftmesh/deadletter/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/audited"
)

type recorder struct{ recorded, counted []audit.Entry }

func (r *recorder) Begin(context.Context) error             { return nil }
func (r *recorder) Record(_ context.Context, e audit.Entry) { r.recorded = append(r.recorded, e) }
func (r *recorder) Count(e audit.Entry)                     { r.counted = append(r.counted, e) }

func call(t *testing.T, method string, req proto.Message) audited.Call {
	t.Helper()
	raw, err := proto.Marshal(req)
	require.NoError(t, err)
	return audited.Call{Method: method, Input: req.ProtoReflect().Type(), Request: raw}
}

func TestWhatIsRecorded(t *testing.T) {
	for _, method := range []string{
		authv1.AuthService_Login_FullMethodName, authv1.AuthService_CreateUser_FullMethodName, authv1.AuthService_RevokeAPIKey_FullMethodName,
		authv1.AuthService_CreateTenant_FullMethodName, driftv1.DriftService_CreateProfile_FullMethodName, driftv1.DriftService_AcknowledgeAlert_FullMethodName,
		driftv1.DriftService_CreateSilence_FullMethodName, deadletterv1.DeadLetterService_GetDeadLetter_FullMethodName,
		deadletterv1.DeadLetterService_RedriveDeadLetters_FullMethodName, authv1.AuthService_SetLimits_FullMethodName,
	} {
		require.True(t, audited.Is(method), method)
	}
	for _, method := range []string{authv1.AuthService_WhoAmI_FullMethodName, driftv1.DriftService_ListScores_FullMethodName} {
		require.False(t, audited.Is(method), method)
	}
}

// No password, no token and no key gets into the account.
func TestWhatAnEntrySays(t *testing.T) {
	var r recorder
	a := &audited.Auditor{Recorder: &r, Source: func(context.Context) string { return "192.0.2.7" }}
	ann := identity.With(t.Context(), identity.Identity{Tenant: "acme", Subject: "ann", Kind: identity.User, Grant: policy.As(policy.Admin)})

	a.Done(ann, call(t, authv1.AuthService_CreateUser_FullMethodName, &authv1.CreateUserRequest{Username: "bob", Password: "s3cret", Role: "viewer"}), nil)
	require.Len(t, r.recorded, 1)
	require.Equal(t, audit.Entry{
		Tenant: "acme", Actor: "ann", Kind: "user", Home: "acme", Source: "192.0.2.7", Action: authv1.AuthService_CreateUser_FullMethodName,
		Object: "username=bob role=viewer", Outcome: audit.OK,
	}, r.recorded[0])

	// What is tried and fails is recorded too; what is refused, and logins that are
	// wrong, are counted.
	a.Done(ann, call(t, authv1.AuthService_RevokeAPIKey_FullMethodName, &authv1.RevokeAPIKeyRequest{Id: "k"}),
		fault.NotFound.New("no such key").WithReason("API_KEY_MISSING"))
	require.Equal(t, audit.Failed, r.recorded[1].Outcome)
	require.Equal(t, "API_KEY_MISSING", r.recorded[1].Reason)
	a.Done(t.Context(), call(t, authv1.AuthService_Login_FullMethodName, &authv1.LoginRequest{Username: "ann", Password: "s3cret"}),
		fault.Unauthenticated.New("no").WithReason("PASSWORD_WRONG"))
	a.Done(ann, call(t, driftv1.DriftService_ListScores_FullMethodName, &driftv1.ListScoresRequest{Profile: "s/a"}), fault.Denied.New("no"))
	a.Refused(ann, "GET /api/v1/sql", "192.0.2.7", fault.Denied.New("no").WithReason("PERMISSION_DENIED"))
	a.Refused(ann, "GET /api/v1/sql", "192.0.2.7", fault.Invalid.New("bad"))
	require.Len(t, r.recorded, 2)
	require.Len(t, r.counted, 3)
	login := r.counted[0]
	require.Equal(t, "ann default default denied PASSWORD_WRONG username=ann",
		login.Actor+" "+login.Home+" "+login.Tenant+" "+string(login.Outcome)+" "+login.Reason+" "+login.Object)
	require.Equal(t, "profile=s/a", r.counted[1].Object)

	// Neither is recorded what went well and is not to be.
	a.Done(ann, call(t, driftv1.DriftService_ListScores_FullMethodName, &driftv1.ListScoresRequest{}), nil)
	require.Len(t, r.recorded, 2)

	// A call to another tenant is about that.
	a.Done(ann, call(t, authv1.AuthService_CreateUser_FullMethodName, &authv1.CreateUserRequest{Tenant: "beta", Username: "eve"}), nil)
	require.Equal(t, "beta", r.recorded[2].Tenant)
	require.Equal(t, "acme", r.recorded[2].Home)

	// But not when it is refused or fails: nobody writes into another's account.
	for i, err := range []error{fault.Denied.New("no"), fault.Invalid.New("bad")} {
		a.Done(ann, call(t, authv1.AuthService_CreateUser_FullMethodName, &authv1.CreateUserRequest{Tenant: "beta", Username: "eve"}), err)
		of := []*[]audit.Entry{&r.counted, &r.recorded}[i]
		last := (*of)[len(*of)-1]
		require.Equal(t, "acme", last.Tenant)
		require.Equal(t, "tenant=beta username=eve", last.Object)
	}

	var none *audited.Auditor
	require.NoError(t, none.Begin(ann))
	none.Done(ann, audited.Call{}, nil)

	var limited recorder
	b := &audited.Auditor{Recorder: &limited, Source: a.Source}
	b.Done(ann, call(t, authv1.AuthService_SetLimits_FullMethodName, &authv1.SetLimitsRequest{
		Tenant: "beta", Limits: &authv1.Limits{Tails: proto.Uint64(3), IngestRate: proto.Uint64(0)}, ToDefault: []string{"queries"},
	}), nil)
	require.Equal(t, "beta", limited.recorded[0].Tenant)
	require.Equal(t, "tenant=beta ingest_rate=0 tails=3 to_default=queries", limited.recorded[0].Object)
}
