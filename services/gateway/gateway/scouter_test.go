package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/policy"
	scouterv1 "github.com/driftmesh/driftmesh/proto/scouter/grpc/v1"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
)

// scouterRoutes is every route that Scouter's server has or its client knows, by
// whether it is served; the others are answered with a sentence.
var scouterRoutes = map[string][]string{
	"served": {
		"GET /auth/login", "GET /auth/refresh", "GET /auth/validate", "GET /healthcheck", "GET /api/v1/capabilities",
		"POST /message", "POST /drift", "GET /drift/spc", "GET /drift/psi", "GET /drift/custom",
		"GET /drift/agent/task", "GET /drift/genai/task", "GET /drift/agent/workflow", "GET /drift/genai/workflow",
		"POST /profile", "PUT /profile", "GET /profile", "POST /profiles", "PUT /profile/status", "POST /alerts", "PUT /alerts",
		"POST /user", "GET /user", "GET /user/{username}", "PUT /user/{username}", "DELETE /user/{username}",
		"GET /tags", "POST /tags", "POST /tags/entity", "POST /trace/paginated", "GET /trace/spans", "POST /trace/spans/filters",
		"POST /trace/spans/tags", "GET /trace/baggage", "POST /trace/metrics", "GET /trace/debug/recent", "GET /v1/traces/{id}/spans", "POST /v1/traces",
		"POST /genai/metrics/tokens", "POST /genai/metrics/operations", "POST /genai/metrics/models", "POST /genai/metrics/agents", "POST /genai/metrics/tools", "POST /genai/metrics/errors", "GET /service/graph",
		"GET /agent/task", "POST /agent/page/record", "POST /agent/page/workflow", "GET /genai/task", "POST /genai/page/record", "POST /genai/page/workflow",
	},
	"elsewhere": {
		"GET /api/v1/docs", "GET /api/v1/docs/search", "GET /api/v1/docs/a/b", "GET /api/v1/openapi.json", "GET /api/v1/docs/ui", "GET /observability/metrics",
		"POST /genai/spans", "GET /genai/conversation/{id}", "POST /genai/agent/metrics", "POST /genai/tool/metrics",
		"GET /eval/scenarios",
		"POST /datasets/register", "POST /datasets/sql", "GET /datasets", "POST /datasets/c/s/t/records", "GET /datasets/c/s/t/info", "GET /datasets/catalogs", "GET /datasets/catalogs/c/schemas",
		"GET /datasets/catalogs/c/schemas/s/tables", "GET /datasets/catalogs/c/schemas/s/tables/t", "GET /datasets/catalogs/c/schemas/s/tables/t/preview",
		"POST /datasets/query", "POST /datasets/query/cancel", "POST /datasets/query/explain", "GET /profile/download", "GET /trace/refresh-summary",
	},
}

// Every route of Scouter's is answered on purpose: it is served, or a sentence says what
// to use. What Scouter has not either is not found.
func TestEveryRouteOfScouters(t *testing.T) {
	t.Parallel()
	w := start(t)
	admin := []string{"Authorization", "Bearer " + token("acme", claims(policy.As(policy.Admin)))}
	anything := regexp.MustCompile(`\{[^}]*\}`)
	ask := func(pattern string) (code int, head http.Header, problem struct{ Error, Code string }) {
		verb, path, _ := strings.Cut(pattern, " ")
		body := ""
		if verb != http.MethodGet && verb != http.MethodDelete {
			body = "{}"
		}
		code, head, raw := w.request(verb, w.http+"/scouter"+anything.ReplaceAllString(path, "01"), body, admin...)
		require.Equal(t, "application/json", head.Get("Content-Type"), pattern)
		if code != http.StatusOK {
			_ = json.Unmarshal(raw, &problem) // OTLP's answers have their own form
		}
		return code, head, problem
	}
	for _, pattern := range scouterRoutes["served"] {
		verb, path, _ := strings.Cut(pattern, " ")
		require.NotZero(t, policy.RouteOf(policy.HTTP, verb+" /scouter"+path), pattern)
		code, head, problem := ask(pattern)
		require.NotContains(t, []string{"NOT_SERVED", "NO_SUCH_ROUTE", "NO_SUCH_PATH"}, problem.Code, pattern)
		require.NotEqual(t, http.StatusMethodNotAllowed, code, pattern)
		if path != "/v1/traces" {
			require.Equal(t, "1.0.0", head.Get("X-Scouter-Api-Version"), pattern)
		}
	}
	for _, pattern := range scouterRoutes["elsewhere"] {
		code, head, problem := ask(pattern)
		require.Equal(t, http.StatusNotImplemented, code, pattern)
		require.Equal(t, "NOT_SERVED", problem.Code, pattern)
		_, sentence, _ := strings.Cut(problem.Error, " is not served here: ")
		require.Greater(t, len(sentence), 30, pattern)
		require.Equal(t, "1.0.0", head.Get("X-Scouter-Api-Version"), pattern)
	}
	for _, pattern := range []string{"GET /nonsense", "DELETE /tags", "GET /", "POST /datasetsx"} {
		code, _, problem := ask(pattern)
		require.Equal(t, http.StatusNotFound, code, pattern)
		require.Equal(t, "NO_SUCH_ROUTE", problem.Code, pattern)
	}
	code, _, _ := w.request(http.MethodPost, w.http+"/scouter/datasets/sql", "{}")
	require.Equal(t, http.StatusUnauthorized, code)
}

// The same of its gRPC methods.
func TestEveryMethodOfScouters(t *testing.T) {
	t.Parallel()
	w := start(t)
	conn, ctx := w.conn(), asRole(t, "acme", policy.Admin)
	const mine = "/scouter.grpc.v1."
	for _, method := range []string{"MessageService/InsertMessage", "AuthService/Login", "AuthService/RefreshToken", "AuthService/ValidateToken"} {
		require.NotZero(t, policy.MethodOf(mine+method).Permission, method)
		require.NotContains(t, fmt.Sprint(call(ctx, conn, mine+method)), "unknown", method)
	}
	var others []string
	for _, name := range []string{
		"RegisterDataset", "InsertBatch", "QueryDataset", "ListDatasets", "DescribeDataset", "ListCatalogs", "ListSchemas", "ListTables", "GetTableDetail",
		"PreviewTable", "ExecuteQuery", "CancelQuery", "ExplainQuery",
	} {
		others = append(others, "DatasetService/"+name)
	}
	for _, method := range append(others, "EvalScenarioService/RegisterScenarios") {
		err := call(ctx, conn, mine+method)
		require.Equal(t, codes.Unimplemented, status.Code(err), method)
		_, sentence, _ := strings.Cut(status.Convert(err).Message(), " is not served here: ")
		require.Greater(t, len(sentence), 30, "%s: %v", method, err)
	}
}

// Spans are taken where exporters of Scouter's client send them unless told.
func TestSpansWhereScoutersExportersSendThem(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, at := range []string{w.http + "/", w.http + "/scouter/v1/traces", w.otlpHTTP + "/", w.otlpHTTP + "/scouter/v1/traces"} {
		code, _, raw := w.request(http.MethodPost, at, `{"resourceSpans":[]}`, "Authorization", "Bearer "+token("acme", nil))
		require.Equal(t, http.StatusOK, code, "%s: %s", at, raw)
		code, _, _ = w.request(http.MethodPost, at, `{"resourceSpans":[]}`)
		require.Equal(t, http.StatusUnauthorized, code, at)
	}
	code, _, _ := w.request(http.MethodGet, w.http+"/", "")
	require.Equal(t, http.StatusOK, code, "the page for people is where it was")
}

// Messages are as large as the mesh takes, which is more than Scouter's own server
// takes: 4 MiB over gRPC and 2 MB over HTTP.
func TestLargeMessagesOfScouters(t *testing.T) {
	t.Parallel()
	const most = 8 << 20
	w := start(t, func(c *gateway.Config) { c.MaxRequest = most })
	message := func(size int) []byte {
		const head = `{"records":[{"Custom":{"created_at":"2026-05-01T10:00:00Z","uid":"` + wineUID + `","metric":"m","value":1}}],"filler":"`
		return append(append([]byte(head), bytes.Repeat([]byte("x"), size-len(head)-2)...), `"}`...)
	}
	over := func(size int) (code int, err error) {
		raw := message(size)
		code, _, _ = w.request(http.MethodPost, w.http+"/scouter/message", string(raw), "Authorization", "Bearer "+token("acme", nil))
		_, err = scouterv1.NewMessageServiceClient(w.conn()).InsertMessage(as(t, "acme"), &scouterv1.InsertMessageRequest{MessageRecord: raw})
		return code, err
	}
	const frame = 5 // tag and length of the message's one field
	for _, size := range []int{2_000_001, 4<<20 + 1, most - frame} {
		code, err := over(size)
		require.Equal(t, http.StatusOK, code, size)
		require.NoError(t, err, size)
	}
	code, err := over(most + 1)
	require.Equal(t, http.StatusRequestEntityTooLarge, code)
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
}

// Records of profiles that are not known are kept for later: while the broker does not
// take them, that is not their fault, and their sender may come again.
func TestRecordsOfScoutersWaitForTheBroker(t *testing.T) {
	t.Parallel()
	w := start(t)
	send := func() int {
		code, _, _ := w.request(http.MethodPost, w.http+"/scouter/message",
			`{"records":[{"Custom":{"created_at":"2026-11-26T23:34:36Z","uid":"01890a5d-ac96-774b-bcce-b302099a8099","metric":"mae","value":1,"entity_id":0}}]}`,
			"Authorization", "Bearer "+token("acme", nil))
		return code
	}
	require.Equal(t, http.StatusServiceUnavailable, send(), "there is no inbox")
	require.NoError(t, w.admin.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: event.Inbox}))
	require.Equal(t, http.StatusOK, send())
}
