package gateway_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/requestid"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
)

type problem struct {
	Code, Message, Reason string
	Details               []map[string]any
}

func parsed[T any](t *testing.T, raw []byte) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal(raw, &v), string(raw))
	return v
}

// requireProblem requires that an answer is an error as all are, and gives it.
func requireProblem(t *testing.T, what string, head http.Header, raw []byte) problem {
	t.Helper()
	require.Equal(t, "application/json", head.Get("Content-Type"), what)
	fields := parsed[map[string]json.RawMessage](t, raw)
	delete(fields, "reason") // not every error has one
	require.ElementsMatch(t, []string{"code", "message", "details"}, slices.Collect(maps.Keys(fields)), "%s: %s", what, raw)
	got := parsed[problem](t, raw)
	require.NotEmpty(t, got.Code, what)
	require.NotEmpty(t, got.Message, what)
	require.True(t, slices.ContainsFunc(got.Details, func(d map[string]any) bool { return d["requestId"] == head.Get(requestid.Header) }), "%s names no request: %s", what, raw)
	return got
}

// TestEveryErrorLooksAlike asks every route what it will not answer: without credentials,
// with an empty question, in protobuf too, and with a parameter that there is not.
func TestEveryErrorLooksAlike(t *testing.T) {
	t.Parallel()
	w := start(t)
	routes, err := policy.Routes()
	require.NoError(t, err)
	all := []string{"authorization", "Bearer " + token(identity.MeshTenant, claims(policy.As(policy.Admin)))}
	wildcard := regexp.MustCompile(`\{[^}]*\}`)
	asked, streams := 0, 0
	for _, r := range routes {
		if r.Door != policy.HTTP || !strings.HasPrefix(r.Path, "/api/v1/") {
			continue
		}
		asked++
		url, body, what := w.http+wildcard.ReplaceAllString(r.Path, "x"), "", r.Verb+" "+r.Path
		if r.Verb == http.MethodPost || r.Verb == http.MethodPut {
			body = "{}"
		}
		for _, head := range [][]string{nil, all, append([]string{"Accept", "application/x-protobuf"}, all...)} {
			code, h, raw := w.request(r.Verb, url, body, head...)
			if code >= http.StatusBadRequest {
				requireProblem(t, what, h, raw)
			}
			if d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(r.RPC, "/"), "/", "."))); head != nil && err == nil && d.(protoreflect.MethodDescriptor).IsStreamingServer() {
				require.GreaterOrEqual(t, code, http.StatusBadRequest, "%s streams, and how it fails was not seen: %s", what, raw)
				streams++
			}
		}
		code, h, raw := w.request(r.Verb, url+"?no_such_thing=1", body, all...)
		require.Equal(t, http.StatusBadRequest, code, "%s: %s", what, raw)
		got := requireProblem(t, what, h, raw)
		require.Contains(t, got.Message, `there is no parameter "no_such_thing": the route takes `, what)
		require.Equal(t, "UNKNOWN_PARAMETER", got.Reason, what)
	}
	require.Greater(t, asked, 60)
	require.GreaterOrEqual(t, streams, 8)
}

func TestParametersAreNamed(t *testing.T) {
	t.Parallel()
	w := start(t, anonymous)
	for path, want := range map[string]string{
		"/api/v1/tail/events?signal=SIGNAL_SPANS&servce=shop":   `there is no parameter "servce": the route takes signal, profile, service, span_name, trace_id, attributes`,
		"/api/v1/sql?query=SELECT+1&fromat=csv":                 `there is no parameter "fromat": the route takes query, format`,
		"/api/v1/traces/ff?raw=1":                               `there is no parameter "raw": the route takes none`,
		"/api/v1/services?servce=y":                             `there is no parameter "servce": the route takes none`,
		"/api/v1/alerts?open_only=true&pageSize=3&pageToken.x=": `there is no parameter "pageToken.x": the route takes profile, open_only, page_size, page_token`,
		"/api/v1/services/shop/operations?service=y":            `there is no parameter "service": the route takes span_kind`,
	} {
		code, head, raw := w.request(http.MethodGet, w.http+path, "")
		require.Equal(t, http.StatusBadRequest, code, "%s: %s", path, raw)
		require.Equal(t, want, requireProblem(t, path, head, raw).Message)
	}
}

func TestEveryRouteAsksWhoCalls(t *testing.T) {
	t.Parallel()
	w := start(t)
	raw, err := os.ReadFile("../../../proto/rest.yaml")
	require.NoError(t, err)
	var api struct {
		HTTP struct{ Rules []map[string]string }
	}
	require.NoError(t, yaml.Unmarshal(raw, &api))
	require.Greater(t, len(api.HTTP.Rules), 20)
	wildcard := regexp.MustCompile(`\{[^}]*\}`)
	for _, rule := range api.HTTP.Rules {
		for method, path := range rule {
			if method == "selector" || method == "body" {
				continue
			}
			body := ""
			if rule["body"] != "" {
				body = "{}"
			}
			code, head, raw := w.request(strings.ToUpper(method), w.http+wildcard.ReplaceAllString(path, "x"), body)
			if path == "/api/v1/providers" { // where one logs in is for whoever has not
				require.Equal(t, http.StatusOK, code)
				continue
			}
			require.Equal(t, http.StatusUnauthorized, code, "%s %s: %s", method, path, raw)
			require.Equal(t, "UNAUTHENTICATED", requireProblem(t, path, head, raw).Code, string(raw))
		}
	}
}

func TestRecordsOverREST(t *testing.T) {
	t.Parallel()
	w := start(t, anonymous)
	code, _, raw := w.request(http.MethodPost, w.http+"/api/v1/records", `{"records": [
		{"id": "a", "profile": "wine/red", "features": {"values": [{"name": "alcohol", "float": "NaN"}, {"name": "quality", "int": "5"}]}},
		{"id": "b", "profile": "wine/white", "features": {"values": [{"name": "alcohol", "float": 1}]}}
	]}`)
	require.Equal(t, http.StatusOK, code, string(raw))
	answer := parsed[struct {
		Accepted, Rejected string
		Rejections         []struct {
			Index                  int
			RecordID               string `json:"record_id"`
			Field, Reason, Message string
		}
	}](t, raw)
	require.Equal(t, "1", answer.Accepted)
	require.Equal(t, "1", answer.Rejected)
	require.Equal(t, 1, answer.Rejections[0].Index)
	require.Equal(t, "b", answer.Rejections[0].RecordID)
	require.Equal(t, "profile", answer.Rejections[0].Field)
	require.Equal(t, "unknown_profile", answer.Rejections[0].Reason)

	code, _, raw = w.request(http.MethodPost, w.http+"/api/v1/records:stream",
		`{"records": [{"profile": "wine/red", "metrics": {"values": [{"name": "mae", "value": 1}]}}]}`+"\n"+
			`{"records": [{"profile": "wine/red", "context": {"json": "{}"}}]}`+"\n", "Content-Type", "application/x-ndjson")
	require.Equal(t, http.StatusOK, code, string(raw))
	require.Equal(t, "2", parsed[map[string]any](t, raw)["batches"])
	_, records := w.published()
	require.Len(t, records, 3)
}

func TestErrorsOverREST(t *testing.T) {
	t.Parallel()
	w := start(t, anonymous, func(c *gateway.Config) { c.MaxRequest = 4 << 10 })
	records := w.http + "/api/v1/records"
	one := `{"records": [{"profile": "wine/red", "features": {"values": [{"name": "alcohol", "float": 1}]}}]}`
	tests := map[string]struct {
		method, url, body string
		head              []string
		status            int
		code, reason      string
	}{
		"no JSON":            {"POST", records, `{`, nil, 400, "INVALID_ARGUMENT", ""},
		"unknown field":      {"POST", records, `{"recods": []}`, nil, 400, "INVALID_ARGUMENT", ""},
		"wrong type":         {"POST", records, `{"records": 5}`, nil, 400, "INVALID_ARGUMENT", ""},
		"invalid UTF-8":      {"POST", records, "{\"records\": [{\"id\": \"\xff\"}]}", nil, 400, "INVALID_ARGUMENT", ""},
		"too large":          {"POST", records, `{"records": [{"id": "` + strings.Repeat("x", 5<<10) + `"}]}`, nil, 413, "RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE"},
		"wrong content type": {"POST", records, one, []string{"Content-Type", "text/xml"}, 415, "INVALID_ARGUMENT", "UNSUPPORTED_MEDIA_TYPE"},
		"content encoding":   {"POST", records, one, []string{"Content-Encoding", "gzip"}, 415, "INVALID_ARGUMENT", "UNSUPPORTED_MEDIA_TYPE"},
		"wrong method":       {"PUT", records, one, nil, 405, "UNIMPLEMENTED", "NO_SUCH_ROUTE"},
		"no such route":      {"GET", w.http + "/api/v1/nothing", "", nil, 404, "NOT_FOUND", "NO_SUCH_ROUTE"},
		"no such path":       {"GET", w.http + "/nothing", "", nil, 404, "NOT_FOUND", "NO_SUCH_PATH"},
		"no such trace":      {"GET", w.http + "/api/v1/traces/ff", "", nil, 404, "NOT_FOUND", ""},
		"no such profile":    {"GET", w.http + "/api/v1/profiles/wine/white", "", nil, 404, "NOT_FOUND", ""},
		"bad filter":         {"GET", w.http + "/api/v1/tail", "", nil, 400, "INVALID_ARGUMENT", "BAD_FILTER"},
		"wrong password":     {"POST", w.http + "/api/v1/login", `{"username": "a", "password": "b"}`, nil, 401, "UNAUTHENTICATED", "LOGIN_REFUSED"},
		"not served behind":  {"GET", w.http + "/api/v1/deliveries", "", nil, 501, "UNIMPLEMENTED", ""},
		"not for this role":  {"GET", w.http + "/api/v1/users", "", nil, 403, "PERMISSION_DENIED", "NOT_ALLOWED"},
	}
	for name, tt := range tests {
		code, head, raw := w.request(tt.method, tt.url, tt.body, tt.head...)
		require.Equal(t, tt.status, code, "%s: %s", name, raw)
		got := requireProblem(t, name, head, raw)
		require.Equal(t, tt.code, got.Code, name)
		require.Equal(t, tt.reason, got.Reason, name)
	}
	w.broker.Down()
	code, head, raw := w.request(http.MethodPost, records, one)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "2", head.Get("Retry-After"))
	require.Equal(t, "BROKER_UNAVAILABLE", parsed[problem](t, raw).Reason)
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	w := start(t)
	code, _, raw := w.request(http.MethodGet, w.http+"/openapi.json", "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, parsed[map[string]any](t, raw)["paths"], "/api/v1/records")
	code, head, raw := w.request(http.MethodGet, w.http+"/.well-known/jwks.json", "")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "application/jwk-set+json", head.Get("Content-Type"))
	require.JSONEq(t, `{"keys":[]}`, string(raw))
}

func TestProfileNamesWithSlashes(t *testing.T) {
	t.Parallel()
	w := start(t, anonymous)
	for _, path := range []string{"wine/red", "wine/red/1.0.0", wineUID, "wine%2Fred"} {
		code, _, raw := w.request(http.MethodGet, w.http+"/api/v1/profiles/"+path, "")
		require.Equal(t, http.StatusOK, code, "%s: %s", path, raw)
		require.Contains(t, string(raw), wineUID)
	}
}

func TestJaegerStreamsATrace(t *testing.T) {
	t.Parallel()
	w := start(t, anonymous)
	code, _, raw := w.request(http.MethodGet, w.http+"/jaeger/api/traces/"+knownTrace, "")
	require.Equal(t, http.StatusOK, code)
	answer := parsed[struct {
		Data []struct {
			TraceID string
			Spans   []struct {
				SpanID   string
				Duration int
			}
		}
	}](t, raw)
	require.Len(t, answer.Data, 1)
	require.Equal(t, knownTrace, answer.Data[0].TraceID)
	require.Len(t, answer.Data[0].Spans, 3)
	require.Equal(t, "0000000000000003", answer.Data[0].Spans[2].SpanID)
	require.Equal(t, 123, answer.Data[0].Spans[2].Duration)
	code, _, raw = w.request(http.MethodGet, w.http+"/jaeger/api/traces/ff", "")
	require.Equal(t, http.StatusNotFound, code)
	require.JSONEq(t, `{"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":404,"msg":"trace not found"}]}`, string(raw))
}

// What the door has taken in is on record before the caller is answered.
func TestTheDoorPutsOnRecordWhatItTook(t *testing.T) {
	t.Parallel()
	w := start(t)
	receipts, err := w.admin.Tail(t.Context(), event.RecordReceipts)
	require.NoError(t, err)
	defer func() { require.NoError(t, receipts.Close()) }()
	_, err = w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{
		wine("a", float("alcohol", 1)), wine("b", float("alcohol", 1)), wine("c", float("alcohol", 1)), wine("d", float("alcohol", 1)),
		wine("e", float("sweetness", 1)),
	}})
	require.NoError(t, err)
	m, err := receipts.Next(t.Context())
	require.NoError(t, err)
	receipt := &eventv1.Receipt{}
	require.NoError(t, proto.Unmarshal(m.Value, receipt))
	require.Equal(t, "gw-1", receipt.GetInstance())
	require.Len(t, receipt.GetAccounts(), 1)
	account := receipt.GetAccounts()[0]
	require.Equal(t, "acme", account.GetTenant())
	require.EqualValues(t, 4, account.GetLanes()[0].GetItems())
	require.Equal(t, map[string]uint64{"unknown_feature": 1}, account.GetRejected())

	// And nothing but what the services say is in the ledger.
	ledger, err := ledgerv1.NewLedgerServiceClient(w.conn()).GetLedger(as(t, "acme"), &ledgerv1.GetLedgerRequest{})
	require.NoError(t, err)
	require.Equal(t, uint64(3), ledger.GetAccounts()[1].GetAccepted())
}

func TestARecordWithATraceparentGivesOneTrace(t *testing.T) {
	t.Parallel()
	w := start(t)
	const one, two = "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01", "00-1102030405060708090a0b0c0d0e0f10-0102030405060708-01"
	a, b := wine("a", float("alcohol", 1)), wine("b", float("alcohol", 1))
	a.Traceparent, b.Traceparent = one, two
	_, err := w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{a, b}})
	require.NoError(t, err)
	messages, _ := w.published()
	require.Contains(t, messages[0].Header("traceparent"), "0102030405060708090a0b0c0d0e0f10")
	found := map[string]bool{}
	for _, s := range w.spans.GetSpans() {
		require.Equal(t, "0102030405060708090a0b0c0d0e0f10", s.SpanContext.TraceID().String(), s.Name)
		found[s.Name] = true
		if s.Name == "accept records" {
			require.Equal(t, "0102030405060708", s.Parent.SpanID().String())
			links := map[string]bool{}
			for _, l := range s.Links {
				links[l.SpanContext.TraceID().String()] = true
			}
			require.True(t, links["1102030405060708090a0b0c0d0e0f10"], "the other record's trace is linked")
		}
	}
	require.True(t, found["accept records"], found)
	require.GreaterOrEqual(t, len(found), 2, "and the publish: %v", found)
}
