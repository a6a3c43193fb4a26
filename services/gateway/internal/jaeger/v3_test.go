package jaeger_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// TestSearchV3Forms: a search means the same in every form that Jaeger takes.
func TestSearchV3Forms(t *testing.T) {
	want := &tracev1.TraceQuery{
		Service: "shop & co", Operation: "buy", Attributes: map[string]string{"error": "true"},
		StartTime: timestamppb.New(now.Add(-time.Hour)), EndTime: timestamppb.New(now),
		MinDuration: durationpb.New(1500 * time.Millisecond), MaxDuration: durationpb.New(9 * time.Second),
	}
	for name, form := range map[string]struct{ method, query, body string }{
		"get, camel": {http.MethodGet, "query.serviceName=shop+%26+co&query.operationName=buy&query.attributes=%7B%22error%22%3A%22true%22%7D" +
			"&query.startTimeMin=2026-01-02T02:04:05Z&query.startTimeMax=2026-01-02T03:04:05Z&query.durationMin=1.5s&query.durationMax=9s&query.searchDepth=7&query.rawTraces=true", ""},
		"get, snake": {http.MethodGet, "query.service_name=shop+%26+co&query.operation_name=buy&query.attributes=%7B%22error%22%3A%22true%22%7D" +
			"&query.start_time_min=2026-01-02T02:04:05Z&query.start_time_max=2026-01-02T03:04:05Z&query.duration_min=1.5s&query.duration_max=9s&query.num_traces=7&query.raw_traces=false", ""},
		"post, camel": {http.MethodPost, "", `{"query":{"serviceName":"shop & co","operationName":"buy","attributes":{"error":"true"},` +
			`"startTimeMin":"2026-01-02T02:04:05Z","startTimeMax":"2026-01-02T04:04:05+01:00","durationMin":"1.500s","durationMax":"9s","searchDepth":7,"rawTraces":true,"filter":null}}`},
		"post, snake": {http.MethodPost, "", `{"query":{"service_name":"shop & co","operation_name":"buy","attributes":{"error":"true"},` +
			`"start_time_min":"2026-01-02T02:04:05Z","start_time_max":"2026-01-02T03:04:05Z","duration_min":"1.5s","duration_max":"9s","search_depth":"7"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := &store{summaries: &tracev1.SearchTracesResponse{}, parts: []*tracev1.FindTracesResponse{{TraceId: fullTrace, OtlpTraces: bare(t, traceID, "shop")}}}
			code, body := s.do(t, form.method, "/api/v3/traces?"+form.query, []byte(form.body))
			require.Equal(t, http.StatusOK, code, string(body))
			require.True(t, proto.Equal(want, s.found.GetQuery()), "%v", s.found)
			require.EqualValues(t, 7, s.found.GetLimit())
			code, body = s.do(t, form.method, "/api/v3/trace-summaries?"+form.query, []byte(form.body))
			require.Equal(t, http.StatusOK, code, string(body))
			require.True(t, proto.Equal(want, s.search.GetQuery()), "%v", s.search)
		})
	}
	s := &store{summaries: &tracev1.SearchTracesResponse{}}
	code, _ := s.do(t, http.MethodPost, "/api/v3/trace-summaries?query.serviceName=not+this",
		[]byte(`{"query":{"startTimeMin":"2026-01-02T02:04:05Z","startTimeMax":"2026-01-02T03:04:05Z","searchDepth":0}}`))
	require.Equal(t, http.StatusOK, code)
	require.Empty(t, s.search.GetQuery().GetService())
	require.EqualValues(t, 100, s.search.GetPageSize(), "0 is as if absent")
}

func TestSearchV3BadBodies(t *testing.T) {
	for body, want := range map[string]string{
		"":                            "the body must be",
		"query":                       "the body must be",
		"[]":                          "the body must be",
		`{"qwery":{}}`:                "the body must be",
		`{"query":{}} {}`:             "something follows",
		`{}`:                          "query.startTimeMin and query.startTimeMax are required",
		`{"query":{"pagination":{}}}`: `no field \"pagination\"`,
		`{"query":{"serviceName":5}}`: "query.serviceName' has a value of another type",
		`{"query":{"service_name":"a","serviceName":"b"}}`: "is given twice",
		`{"query":{"attributes":"a=b"}}`:                   "query.attributes' has a value of another type",
		`{"query":{"attributes":{"a":[]}}}`:                "query.attributes",
		`{"query":{"filter":{"op":"eq"}}}`:                 "is not supported",
		`{"query":{"rawTraces":"yes"}}`:                    "query.rawTraces",
		`{"query":{"startTimeMin":"yesterday"}}`:           "query.startTimeMin",
		`{"query":{"startTimeMin":"2026-01-02T02:04:05Z","startTimeMax":"2026-01-02T03:04:05Z","searchDepth":-1}}`:  "query.searchDepth",
		`{"query":{"startTimeMin":"2026-01-02T02:04:05Z","startTimeMax":"2026-01-02T03:04:05Z","searchDepth":1.5}}`: "query.searchDepth",
	} {
		for _, path := range []string{"/api/v3/traces", "/api/v3/trace-summaries"} {
			code, answer := (&store{}).do(t, http.MethodPost, path, []byte(body))
			require.Equal(t, http.StatusBadRequest, code, body)
			require.True(t, strings.HasPrefix(string(answer), `{"error":{"grpcCode":3,"httpCode":400,`), string(answer))
			require.Contains(t, string(answer), want, body)
		}
	}
	for _, path := range []string{
		"/api/v3/traces/7?raw_traces=perhaps", "/api/v3/traces?query.raw_traces=perhaps&query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z",
	} {
		code, answer := (&store{}).get(t, path)
		require.Equal(t, http.StatusBadRequest, code)
		require.Contains(t, string(answer), "raw_traces")
	}
}

func TestDependenciesV3(t *testing.T) {
	s := &store{dependencies: []*tracev1.Dependency{{Parent: "shop", Child: "bank", Calls: 7}}}
	for _, query := range []string{
		"startTime=2026-01-01T00:00:00Z&endTime=2026-01-02T00:00:00.5Z", "start_time=2026-01-01T00:00:00Z&end_time=2026-01-02T01:00:00.5+01:00",
	} {
		code, body := s.get(t, "/api/v3/dependencies?"+query)
		require.Equal(t, http.StatusOK, code)
		require.JSONEq(t, `{"dependencies":[{"parent":"shop","child":"bank","callCount":"7"}]}`, string(body))
		require.Equal(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), s.asked.GetStartTime().AsTime())
		require.Equal(t, time.Date(2026, 1, 2, 0, 0, 0, 5e8, time.UTC), s.asked.GetEndTime().AsTime())
	}
	_, body := (&store{}).get(t, "/api/v3/dependencies?startTime=2026-01-01T00:00:00Z&endTime=2026-01-02T00:00:00Z")
	require.JSONEq(t, `{"dependencies":[]}`, string(body))
	for query, name := range map[string]string{
		"":                               "startTime",
		"endTime=2026-01-02T00:00:00Z":   "startTime",
		"startTime=2026-01-01T00:00:00Z": "endTime",
		"start_time=then&end_time=2026-01-02T00:00:00Z":               "start_time",
		"startTime=2026-01-02T00:00:00Z&endTime=2026-01-02T00:00:00Z": "endTime",
	} {
		code, answer := s.get(t, "/api/v3/dependencies?"+query)
		require.Equal(t, http.StatusBadRequest, code)
		require.Contains(t, string(answer), "parameter '"+name+"'")
	}
}
