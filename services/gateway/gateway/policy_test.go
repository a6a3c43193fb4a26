package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	auditv1 "github.com/driftmesh/driftmesh/proto/driftmesh/audit/v1"
	authv1 "github.com/driftmesh/driftmesh/proto/driftmesh/auth/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// claims give a token a grant.
func claims(g policy.Grant) func(jwt.MapClaims) {
	return func(c jwt.MapClaims) {
		said := identity.ClaimsOf(g)
		c["role"], c["permissions"], c["spaces"] = said.Role, said.Permissions, said.Spaces
	}
}

// asRole is a context whose gRPC calls carry a token of a tenant with a role.
func asRole(t *testing.T, tenant string, role policy.Role) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token(tenant, claims(policy.As(role))))
}

// somebody is a caller of the matrix; the zero value shows no credentials.
type somebody struct {
	tenant string
	grant  policy.Grant
}

func (s somebody) known() bool { return s.tenant != "" }

func (s somebody) may(p policy.Permission) bool {
	return identity.Identity{Tenant: s.tenant, Grant: s.grant}.May(p)
}

func (s somebody) String() string { return fmt.Sprintf("%s/%v", s.tenant, s.grant) }

// named is the tenant in whose name services are called: for nobody the gateway
// calls in its own, and says where the call came from.
func (s somebody) named() string {
	if !s.known() {
		return identity.MeshTenant
	}
	return s.tenant
}

// everybody is every role of a tenant and of the mesh, two that are narrowed, and
// nobody.
func everybody() []somebody {
	all := []somebody{{}, {"acme", policy.As("nobody")}}
	for _, role := range policy.Roles() {
		all = append(all, somebody{"acme", policy.As(role)}, somebody{identity.MeshTenant, policy.As(role)})
	}
	return append(all,
		somebody{"acme", policy.Grant{Role: policy.Operator, Only: policy.OnlyOf(policy.DeadLettersRead, policy.SQLQuery)}},
		somebody{"acme", policy.Grant{Role: policy.Admin, Spaces: "wine"}})
}

// frames sends and takes messages as they are.
type frames struct{}

func (frames) Name() string { return grpcproto.Name }
func (frames) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil //nolint:forcetypeassert // a test's own
}
func (frames) Unmarshal(mem.BufferSlice, any) error { return nil }

var _ encoding.CodecV2 = frames{}

// call calls a method with one empty message, and gives how that ended.
func call(ctx context.Context, conn *grpc.ClientConn, method string) error {
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := conn.NewStream(ctx, desc, method, grpc.ForceCodecV2(frames{}))
	if err != nil {
		return err
	}
	if err := stream.SendMsg([]byte{}); err != nil && err != io.EOF { //nolint:errorlint // as gRPC says it
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		if err := stream.RecvMsg(new([]byte)); err != nil {
			return err
		}
	}
}

// refusal is the reason for which a call was refused, "" when it was not.
func refusal(err error) string {
	st := status.Convert(err)
	if c := st.Code(); c != codes.PermissionDenied && c != codes.Unauthenticated {
		return ""
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return st.Code().String()
}

// gatewaysOwn are calls that the gateway makes in its own name.
var gatewaysOwn = map[string]bool{
	auditv1.AuditService_Record_FullMethodName:      true,
	authv1.AuthService_LoginStanding_FullMethodName: true,
	authv1.AuthService_RenewToken_FullMethodName:    true,
}

// TestEveryMethodForEverybody calls every method of every service at the doors
// for gRPC, as every role: each is let in exactly where the table says, and what
// reaches a service does so in the caller's name and no other.
func TestEveryMethodForEverybody(t *testing.T) {
	t.Parallel()
	w := start(t)
	native, otlp := w.conn(), w.dial(w.otlpGRPC)
	for _, who := range everybody() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if who.known() {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token(who.tenant, claims(who.grant)))
		}
		for _, m := range policy.Methods() {
			conn := native
			switch {
			case strings.HasPrefix(m.Name, "/opentelemetry."):
				conn = otlp
			case strings.HasPrefix(m.Name, "/grpc."):
				continue // health watches for ever; they are nobody's data
			}
			err := call(ctx, conn, m.Name)
			what := fmt.Sprintf("%s by %s: %v", m.Name, who, err)
			switch {
			case m.Inner:
				require.Equal(t, codes.Unimplemented, status.Code(err), what)
			case m.Permission == policy.PublicCall:
				require.NotContains(t, []string{identity.ReasonMissing, identity.ReasonDenied}, refusal(err), what)
			case !who.known():
				require.Equal(t, identity.ReasonMissing, refusal(err), what)
			case who.may(m.Permission):
				require.Empty(t, refusal(err), what)
			default:
				require.Equal(t, codes.PermissionDenied, status.Code(err), what)
				require.Equal(t, identity.ReasonDenied, refusal(err), what)
				require.Contains(t, status.Convert(err).Message(), m.Permission.String(), what)
			}
			for _, s := range w.takeSeen() {
				if gatewaysOwn[s.method] {
					continue
				}
				require.True(t, who.may(m.Permission), "%s reached %s", what, s.method)
				require.Equal(t, who.named(), s.by.Tenant, what)
				require.Contains(t, []policy.Grant{who.grant, policy.As(policy.Service)}, s.by.Grant, what)
			}
		}
		cancel()
	}
}

// TestEveryRouteForEverybody is the same for every route of every HTTP door.
func TestEveryRouteForEverybody(t *testing.T) {
	t.Parallel()
	w := start(t)
	routes, err := policy.Routes()
	require.NoError(t, err)
	anything := regexp.MustCompile(`\{[^}]*\}`)
	doors := map[policy.Door]string{policy.HTTP: w.http, policy.Jaeger: "http://" + w.jaeger, policy.OTLPHTTP: w.otlpHTTP}
	for _, who := range everybody() {
		for _, r := range routes {
			path := anything.ReplaceAllString(strings.TrimSuffix(r.Path, "{$}"), "01")
			body, head := "", []string{"X-Forwarded-User", "admin"}
			if r.Verb == http.MethodPost {
				body = "{}"
			}
			if who.known() {
				head = append(head, "Authorization", "Bearer "+token(who.tenant, claims(who.grant)))
			}
			code, _, raw := w.hurried(r, doors[r.Door]+path, body, head...)
			what := fmt.Sprintf("%s %s by %s: %d %s", r.Door, r.Pattern(), who, code, raw)
			switch {
			case r.Permission == policy.PublicCall:
				require.NotContains(t, string(raw), identity.ReasonMissing, what)
				require.NotEqual(t, http.StatusForbidden, code, what)
			case !who.known():
				require.Equal(t, http.StatusUnauthorized, code, what)
			case who.may(r.Permission):
				require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, code, what)
				require.NotContains(t, string(raw), "NO_SUCH_ROUTE", what)
			default:
				require.Equal(t, http.StatusForbidden, code, what)
				require.Contains(t, string(raw), r.Permission.String(), what)
			}
			for _, s := range w.takeSeen() {
				if gatewaysOwn[s.method] {
					continue
				}
				require.True(t, who.may(r.Permission), "%s reached %s", what, s.method)
				if r.Permission == policy.PublicCall { // nobody is asked who calls
					require.Contains(t, []string{who.tenant, identity.MeshTenant}, s.by.Tenant, what)
					continue
				}
				require.Equal(t, who.named(), s.by.Tenant, what)
			}
		}
	}
}

// hurried is request, which does not wait for the end of an answer that has none.
func (w *world) hurried(r policy.Route, url, body string, head ...string) (int, http.Header, []byte) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Verb, url, bytes.NewBufferString(body))
	require.NoError(w.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := w.client.Do(req)
	require.NoError(w.t, err, url)
	defer resp.Body.Close()
	if strings.Contains(r.RPC, "/Tail") && resp.StatusCode == http.StatusOK {
		return resp.StatusCode, resp.Header, nil
	}
	raw, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err, url)
	return resp.StatusCode, resp.Header, raw
}

// TestServicesCheckToo calls the services as a gateway would that lets everybody
// in.
func TestServicesCheckToo(t *testing.T) {
	t.Parallel()
	w := start(t)
	behind := map[string]string{
		"driftmesh.auth.": "auth", "driftmesh.drift.": "drift", "driftmesh.trace.": "trace-store", "driftmesh.deadletter.": "ingest-worker", "driftmesh.record.": "ingest-worker",
	}
	tried := 0
	for _, m := range policy.Methods() {
		for prefix, name := range behind {
			if !strings.HasPrefix(m.Name, "/"+prefix) || m.Permission == policy.PublicCall {
				continue
			}
			for _, who := range everybody()[1:] {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				id := identity.Identity{Tenant: who.tenant, Subject: "s", Kind: identity.User, Grant: who.grant}
				err := call(identity.With(ctx, id), w.conns[name], m.Name)
				cancel()
				require.Equal(t, who.may(m.Permission), !strings.Contains(fmt.Sprint(err), m.Permission.String()), "%s by %s: %v", m.Name, who, err)
				tried++
			}
		}
	}
	require.Greater(t, tried, 300)
}

// TestTheGatewayServesWhatItsProtosSay finds a method that somebody wrote and no
// door serves.
func TestTheGatewayServesWhatItsProtosSay(t *testing.T) {
	t.Parallel()
	w := start(t)
	conn := w.conn()
	ctx := asRole(t, identity.MeshTenant, policy.Admin)
	for _, m := range policy.Methods() {
		if m.Inner || !strings.HasPrefix(m.Name, "/driftmesh.") {
			continue
		}
		service, name, _ := strings.Cut(strings.TrimPrefix(m.Name, "/"), "/")
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + name))
		require.NoError(t, err)
		require.NotNil(t, found)
		err = call(ctx, conn, m.Name)
		require.NotContains(t, fmt.Sprint(err), "unknown method", m.Name)
	}
}

// asGrant is a context whose gRPC calls carry a token of a tenant with a grant.
func asGrant(t *testing.T, tenant string, g policy.Grant) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token(tenant, claims(g)))
}

// Who is for certain spaces sends and watches records of these. What others know
// already makes no difference: profiles are kept for all of the tenant.
func TestRecordsOfASpace(t *testing.T) {
	t.Parallel()
	w := start(t)
	send := func(g policy.Grant) *ingestv1.PublishRecordsResponse {
		resp, err := w.ingest().PublishRecords(asGrant(t, "acme", g), &ingestv1.PublishRecordsRequest{
			Records: []*ingestv1.Record{wine("r", float("alcohol", 1))},
		})
		require.NoError(t, err)
		return resp
	}
	in := w.watch(asGrant(t, "acme", policy.Grant{Role: policy.Viewer, Spaces: "wine"}), &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_RECORDS})
	brief, stop := context.WithTimeout(asGrant(t, "acme", policy.Grant{Role: policy.Viewer, Spaces: "beer"}), time.Second)
	defer stop()
	out := w.watch(brief, &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_RECORDS})

	require.EqualValues(t, 1, send(policy.Grant{Role: policy.Ingest, Spaces: "beer,wine"}).GetAccepted())
	refused := send(policy.Grant{Role: policy.Ingest, Spaces: "beer"})
	require.Zero(t, refused.GetAccepted())
	require.Equal(t, `no profile "wine/red"`, refused.GetRejections()[0].GetMessage(), "as if there were none")
	require.EqualValues(t, 1, send(policy.As(policy.Ingest)).GetAccepted())

	answer, err := in.Recv()
	require.NoError(t, err)
	require.Equal(t, "r", answer.GetRecord().GetId())
	_, err = out.Recv()
	require.Equal(t, codes.DeadlineExceeded, status.Code(err), "nothing of another space's")

	spans, err := w.ingest().Tail(asGrant(t, "acme", policy.Grant{Role: policy.Viewer, Spaces: "wine"}), &ingestv1.TailRequest{Signal: ingestv1.Signal_SIGNAL_SPANS})
	require.NoError(t, err)
	_, err = spans.Recv()
	require.Equal(t, codes.PermissionDenied, status.Code(err))
}

// Tokens of the release before say whether somebody is an administrator, and no
// more; what a token says that only services and this machine are is refused.
func TestRolesOfTokens(t *testing.T) {
	t.Parallel()
	w := start(t)
	auth := authv1.NewAuthServiceClient(w.conn())
	for _, row := range []struct {
		claims func(jwt.MapClaims)
		role   string
	}{
		{nil, "editor"},
		{func(c jwt.MapClaims) { c["admin"] = true }, "admin"},
		{func(c jwt.MapClaims) { c["admin"], c["role"] = true, "viewer" }, "viewer"},
		{func(c jwt.MapClaims) { c["role"] = "superuser" }, ""},
		{func(c jwt.MapClaims) { c["role"] = "service" }, "refused"},
		{func(c jwt.MapClaims) { c["role"] = "local" }, "refused"},
		{func(c jwt.MapClaims) { c["spaces"] = []string{"a,b"} }, "refused"},
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token("acme", row.claims))
		who, err := auth.WhoAmI(ctx, &authv1.WhoAmIRequest{})
		switch row.role {
		case "refused":
			require.Equal(t, codes.Unauthenticated, status.Code(err), err)
		case "":
			require.Equal(t, codes.PermissionDenied, status.Code(err), "a role that is not known allows nothing")
		default:
			require.NoError(t, err)
			require.Equal(t, row.role, who.GetRole())
		}
	}
}
