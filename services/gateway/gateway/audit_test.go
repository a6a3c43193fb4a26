package gateway_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
)

// What is done is recorded before it is answered, by gRPC and by REST alike, with who
// did it and from where; what is refused is counted. Nothing is changed while that
// cannot be recorded.
func TestWhatIsDoneIsRecorded(t *testing.T) {
	t.Parallel()
	w := start(t)
	auth, drift := authv1.NewAuthServiceClient(w.conn()), driftv1.NewDriftServiceClient(w.conn())
	_, err := auth.Login(t.Context(), &authv1.LoginRequest{Username: "ann", Password: "right"})
	require.NoError(t, err)
	resp, err := w.client.Post(w.http+"/api/v1/login", "application/json", strings.NewReader(`{"username":"bob","password":"right"}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	logins := w.audit.find(authv1.AuthService_Login_FullMethodName, "ok")
	require.Len(t, logins, 2)
	for i, name := range []string{"ann", "bob"} {
		require.Equal(t, name, logins[i].GetActor())
		require.Equal(t, "default", logins[i].GetTenant())
		require.Equal(t, "username="+name, logins[i].GetObject())
		require.Equal(t, "127.0.0.1", logins[i].GetSource())
		require.NotEmpty(t, logins[i].GetId())
	}

	// The service behind does not know this method here: it was tried, and failed.
	_, err = drift.AcknowledgeAlert(as(t, "acme"), &driftv1.AcknowledgeAlertRequest{Id: "a-1"})
	require.Error(t, err)
	tried := w.audit.find(driftv1.DriftService_AcknowledgeAlert_FullMethodName, "failed")
	require.Len(t, tried, 1)
	require.Equal(t, "acme", tried[0].GetTenant())
	require.Equal(t, "id=a-1", tried[0].GetObject())
	_, err = drift.ListSilences(as(t, "acme"), &driftv1.ListSilencesRequest{})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	require.Empty(t, w.audit.find(driftv1.DriftService_ListSilences_FullMethodName, "failed"), "to look changes nothing")

	w.audit.set(true)
	_, err = drift.AcknowledgeAlert(as(t, "acme"), &driftv1.AcknowledgeAlertRequest{Id: "a-2"})
	require.Equal(t, codes.Unimplemented, status.Code(err), "the first one is owed")
	_, err = drift.AcknowledgeAlert(as(t, "acme"), &driftv1.AcknowledgeAlertRequest{Id: "a-3"})
	require.Equal(t, codes.Unavailable, status.Code(err))
	w.audit.set(false)
	_, err = drift.AcknowledgeAlert(as(t, "acme"), &driftv1.AcknowledgeAlertRequest{Id: "a-4"})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	var ids []string
	for _, e := range w.audit.find(driftv1.DriftService_AcknowledgeAlert_FullMethodName, "failed") {
		ids = append(ids, e.GetObject())
	}
	require.Equal(t, []string{"id=a-1", "id=a-2", "id=a-4"}, ids)

	for range 3 {
		_, err = auth.Login(t.Context(), &authv1.LoginRequest{Username: "ann", Password: "wrong"})
		require.Equal(t, codes.Unauthenticated, status.Code(err))
	}
	_, err = drift.ListAlerts(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer garbage"), &driftv1.ListAlertsRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.http+"/api/v1/alerts", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer garbage")
	resp, err = w.client.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	// So are those at the doors of OTLP, of every signal.
	for _, door := range []struct{ method, route string }{
		{"/opentelemetry.proto.collector.trace.v1.TraceService/Export", "/v1/traces"},
		{"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "/v1/metrics"},
		{"/opentelemetry.proto.collector.logs.v1.LogsService/Export", "/v1/logs"},
	} {
		var answer coltracepb.ExportTraceServiceResponse // is empty as the others are
		bad := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer garbage")
		err := w.dial(w.otlpGRPC).Invoke(bad, door.method, &coltracepb.ExportTraceServiceRequest{}, &answer)
		require.Equal(t, codes.Unauthenticated, status.Code(err))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.otlpHTTP+door.route, strings.NewReader("{}"))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer garbage")
		req.Header.Set("Content-Type", "application/json")
		resp, err := w.client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	}
	w.stop() // what was counted is recorded at the end at the latest
	for _, action := range []string{
		"/opentelemetry.proto.collector.trace.v1.TraceService/Export", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
		"/opentelemetry.proto.collector.logs.v1.LogsService/Export", "POST /v1/traces", "POST /v1/metrics", "POST /v1/logs",
	} {
		found := w.audit.find(action, "denied")
		require.Len(t, found, 1, action)
		require.Equal(t, "127.0.0.1", found[0].GetSource())
	}
	refused := w.audit.find(authv1.AuthService_Login_FullMethodName, "denied")
	require.Len(t, refused, 1)
	require.EqualValues(t, 3, refused[0].GetCount())
	require.Equal(t, "LOGIN_REFUSED", refused[0].GetReason())
	require.Len(t, w.audit.find(driftv1.DriftService_ListAlerts_FullMethodName, "denied"), 1)
	byREST := w.audit.find("GET /api/v1/alerts", "denied")
	require.Len(t, byREST, 1)
	require.Equal(t, "127.0.0.1", byREST[0].GetSource())
}

// Entries are for ever, so nobody makes as many as it likes: what strangers do, and it
// works, is counted as what they are refused; a tenant that changes things is heard at
// a pace; and what is named in a request is one field, whatever it looks like.
func TestNobodyFillsTheAccount(t *testing.T) {
	t.Parallel()
	w := start(t)
	auth, drift := authv1.NewAuthServiceClient(w.conn()), driftv1.NewDriftServiceClient(w.conn())
	for i := range 50 { // anybody can make up a token, and nobody is told that it was none
		_, err := auth.Logout(t.Context(), &authv1.LogoutRequest{RefreshToken: strconv.Itoa(i)})
		require.NoError(t, err)
		_, err = auth.Login(t.Context(), &authv1.LoginRequest{Tenant: strconv.Itoa(i), Username: strconv.Itoa(i), Password: "wrong"})
		require.Error(t, err)
	}
	_, err := drift.AcknowledgeAlert(as(t, "acme"), &driftv1.AcknowledgeAlertRequest{Id: "a monitor=m"})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	sent, paced := 0, 0
	for ; paced <= 500 && sent < 50_000; sent++ { // as many as it takes, however slow the machine is
		_, err := drift.AcknowledgeAlert(as(t, "flood"), &driftv1.AcknowledgeAlertRequest{Id: "a"})
		if status.Code(err) == codes.ResourceExhausted {
			paced++
			require.NotEmpty(t, status.Convert(err).Details())
		}
	}
	require.Greater(t, paced, 500)
	_, err = drift.AcknowledgeAlert(as(t, "acme"), &driftv1.AcknowledgeAlertRequest{Id: "b"})
	require.Equal(t, codes.Unimplemented, status.Code(err), "another tenant")
	w.stop()

	outs, ins := w.audit.find(authv1.AuthService_Logout_FullMethodName, "ok"), w.audit.find(authv1.AuthService_Login_FullMethodName, "denied")
	others := w.audit.find("others", "denied")
	require.Len(t, outs, 1)
	require.EqualValues(t, 50, outs[0].GetCount())
	require.LessOrEqual(t, len(ins)+len(others), 20)
	acknowledged := w.audit.find(driftv1.DriftService_AcknowledgeAlert_FullMethodName, "failed")
	require.Equal(t, `id="a monitor=m"`, acknowledged[0].GetObject())
	require.Len(t, acknowledged, 2+sent-paced)
}
