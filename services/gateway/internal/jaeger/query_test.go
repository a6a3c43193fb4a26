package jaeger_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

func TestSearchParameters(t *testing.T) {
	t.Parallel()
	start, end := timestamppb.New(now.Add(-48*time.Hour)), timestamppb.New(now)
	query := func(change func(*tracev1.FindTracesRequest)) *tracev1.FindTracesRequest {
		req := &tracev1.FindTracesRequest{Limit: 100, Query: &tracev1.TraceQuery{Service: "s", StartTime: start, EndTime: end}}
		if change != nil {
			change(req)
		}
		return req
	}
	day := timestamppb.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	next := timestamppb.New(time.Date(2026, 1, 2, 0, 0, 0, 5, time.UTC))
	v3 := func(req *tracev1.FindTracesRequest) { req.Query.StartTime, req.Query.EndTime = day, next }
	const v3range = "query.start_time_min=2026-01-01T00:00:00Z&query.start_time_max=2026-01-02T00:00:00.000000005Z"
	tests := []struct {
		path string
		want *tracev1.FindTracesRequest
	}{
		{"/api/traces?service=s", query(nil)},
		{"/api/traces?service=s&operation=op&limit=7", query(func(r *tracev1.FindTracesRequest) { r.Limit, r.Query.Operation = 7, "op" })},
		{"/api/traces?service=s&limit=1000000", query(func(r *tracev1.FindTracesRequest) { r.Limit = 1500 })},
		{"/api/traces?service=s&lookback=2d", query(nil)},
		{"/api/traces?service=s&lookback=1h", query(func(r *tracev1.FindTracesRequest) { r.Query.StartTime = timestamppb.New(now.Add(-time.Hour)) })},
		{"/api/traces?service=s&start=1000000&end=2000001&lookback=custom", query(func(r *tracev1.FindTracesRequest) {
			r.Query.StartTime, r.Query.EndTime = &timestamppb.Timestamp{Seconds: 1}, &timestamppb.Timestamp{Seconds: 2, Nanos: 1000}
		})},
		{"/api/traces?service=s&minDuration=1.5ms&maxDuration=2s", query(func(r *tracev1.FindTracesRequest) {
			r.Query.MinDuration, r.Query.MaxDuration = durationpb.New(1500*time.Microsecond), durationpb.New(2*time.Second)
		})},
		{"/api/traces?service=s&tags=" + url.QueryEscape(`{"a":"b","error":true,"n":7}`), query(func(r *tracev1.FindTracesRequest) {
			r.Query.Attributes = map[string]string{"a": "b", "error": "true", "n": "7"}
		})},
		{"/api/traces?service=s&tag=a:b:c&tag=" + url.QueryEscape("x=http://y"), query(func(r *tracev1.FindTracesRequest) {
			r.Query.Attributes = map[string]string{"a": "b:c", "x": "http://y"}
		})},
		{"/api/v3/traces?query.service_name=s&" + v3range, query(v3)},
		{"/api/v3/traces?query.serviceName=s&query.operationName=op&query.searchDepth=3&query.durationMin=1ms&query.durationMax=2ms&query.attributes=" +
			url.QueryEscape(`{"a":"b"}`) + "&query.startTimeMin=2026-01-01T02:00:00+02:00&query.startTimeMax=2026-01-02T00:00:00.000000005Z", query(func(r *tracev1.FindTracesRequest) {
			v3(r)
			r.Limit, r.Query.Operation, r.Query.Attributes = 3, "op", map[string]string{"a": "b"}
			r.Query.MinDuration, r.Query.MaxDuration = durationpb.New(time.Millisecond), durationpb.New(2*time.Millisecond)
		})},
		{"/api/v3/traces?query.num_traces=9&query.service_name=s&" + v3range, query(func(r *tracev1.FindTracesRequest) { v3(r); r.Limit = 9 })},
	}
	for _, tt := range tests {
		s := &store{}
		_, _ = s.get(t, tt.path)
		require.NotNil(t, s.found, tt.path)
		require.Truef(t, proto.Equal(tt.want, s.found), "%s\nwant %v\ngot  %v", tt.path, tt.want, s.found)
	}
}

func TestBadParameters(t *testing.T) {
	t.Parallel()
	const v3range = "query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z"
	for path, field := range map[string]string{
		"/api/traces":                                               "service",
		"/api/operations":                                           "service",
		"/api/traces?service=s&limit=x":                             "limit",
		"/api/traces?service=s&limit=0":                             "limit",
		"/api/traces?service=s&start=yesterday":                     "start",
		"/api/traces?service=s&start=-1":                            "start",
		"/api/traces?service=s&start=2&end=1":                       "start",
		"/api/traces?service=s&end=99999999999999999999":            "end",
		"/api/traces?service=s&lookback=soon":                       "lookback",
		"/api/traces?service=s&minDuration=5":                       "minDuration",
		"/api/traces?service=s&minDuration=2s&maxDuration=1s":       "maxDuration",
		"/api/traces?service=s&tag=novalue":                         "tag",
		"/api/traces?service=s&tags=novalue":                        "tags",
		"/api/traces?service=s&tags=" + url.QueryEscape(`{"a":{}}`): "tags",
		"/api/traces?traceID=xyz":                                   "traceID",
		"/api/traces/0123456789abcdef0123456789abcdef0":             "traceID",
		"/api/traces/7?start=x":                                     "start",
		"/api/dependencies?endTs=x":                                 "endTs",
		"/api/v3/traces":                                            "query.startTimeMin",
		"/api/v3/traces?query.startTimeMin=2026-01-02T00:00:00Z&query.startTimeMax=2026-01-01T00:00:00Z": "query.startTimeMin",
		"/api/v3/traces?query.start_time_min=x&query.start_time_max=2026-01-01T00:00:00Z":                "query.start_time_min",
		"/api/v3/traces?query.searchDepth=x&" + v3range:                                                  "query.searchDepth",
		"/api/v3/traces?query.durationMin=x&" + v3range:                                                  "query.durationMin",
		"/api/v3/traces?query.attributes=x&" + v3range:                                                   "query.attributes",
		"/api/v3/traces?query.filter=x&" + v3range:                                                       "query.filter",
		"/api/v3/traces/xyz":           "traceID",
		"/api/v3/traces/7?startTime=x": "startTime",
	} {
		code, body := (&store{}).get(t, path)
		require.Equal(t, http.StatusBadRequest, code, "%s: %s", path, body)
		require.Contains(t, string(body), field, path)
	}
}

func TestTraceIDForms(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		fullTrace:                          fullTrace,
		"5B8EFFF798038103D269B633813FC60C": fullTrace,
		"d269b633813fc60c":                 "0000000000000000d269b633813fc60c",
		"7":                                "00000000000000000000000000000007",
		"W47/95gDgQPSabYzgT/GDA==":         fullTrace,
		"W47_95gDgQPSabYzgT_GDA":           fullTrace,
	} {
		s := &store{}
		_, _ = s.get(t, "/api/traces/"+url.PathEscape(given)+"?start=1767322000000&end=1767322001000000")
		require.Len(t, s.got, 1, given)
		require.Equal(t, want, s.got[0].GetTraceId(), given)
		require.Equal(t, int64(1767322000), s.got[0].GetStartTime().GetSeconds(), "milliseconds, as from Grafana")
		require.Equal(t, int64(1767322001), s.got[0].GetEndTime().GetSeconds(), "microseconds, as Jaeger has it")
	}
}
