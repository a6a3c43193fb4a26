package jaeger_test

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// monitor is what the tab Monitor of Jaeger's interface asks, but for the
// quantile: the last three minutes, and each minute of them.
const monitor = "endTs=1767323045000&lookback=120000&quantile=0.95&ratePer=600000&spanKind=server&step=60000"

func measured() *store {
	return &store{measures: &tracev1.MeasureServicesResponse{Series: []*tracev1.ServiceSeries{
		{Service: "front", Calls: []uint64{0, 600, 900}, Errors: []uint64{0, 0, 9}, Durations: []float64{math.NaN(), 1.5e6, 2e9}},
	}}}
}

// TestMonitor: the requests of Jaeger's interface, and answers as Jaeger words
// them.
func TestMonitor(t *testing.T) {
	for path, want := range map[string]string{
		"/api/metrics/calls?service=front&" + monitor: `{"name":"service_call_rate","type":"GAUGE","help":"calls/sec, grouped by service","metrics":[` +
			`{"labels":[{"name":"service_name","value":"front"}],"metricPoints":[` +
			`{"gaugeValue":{"doubleValue":0},"timestamp":"2026-01-02T03:02:05Z"},` +
			`{"gaugeValue":{"doubleValue":1},"timestamp":"2026-01-02T03:03:05Z"},` +
			`{"gaugeValue":{"doubleValue":1.5},"timestamp":"2026-01-02T03:04:05Z"}]}]}`,
		"/api/metrics/errors?service=front&" + monitor: `{"name":"service_error_rate","type":"GAUGE","help":"error rate, computed as a fraction of errors/sec over calls/sec, grouped by service","metrics":[` +
			`{"labels":[{"name":"service_name","value":"front"}],"metricPoints":[` +
			`{"gaugeValue":{"doubleValue":"NaN"},"timestamp":"2026-01-02T03:02:05Z"},` +
			`{"gaugeValue":{"doubleValue":0},"timestamp":"2026-01-02T03:03:05Z"},` +
			`{"gaugeValue":{"doubleValue":0.01},"timestamp":"2026-01-02T03:04:05Z"}]}]}`,
		"/api/metrics/latencies?service=front&" + monitor: `{"name":"service_latencies","type":"GAUGE","help":"0.95th quantile latency, grouped by service","metrics":[` +
			`{"labels":[{"name":"service_name","value":"front"}],"metricPoints":[` +
			`{"gaugeValue":{"doubleValue":"NaN"},"timestamp":"2026-01-02T03:02:05Z"},` +
			`{"gaugeValue":{"doubleValue":1.5},"timestamp":"2026-01-02T03:03:05Z"},` +
			`{"gaugeValue":{"doubleValue":2000},"timestamp":"2026-01-02T03:04:05Z"}]}]}`,
	} {
		s := measured()
		code, body := s.get(t, path)
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, want, string(body))
		want := &tracev1.MeasureServicesRequest{
			Services: []string{"front"}, SpanKinds: []string{"server"},
			StartTime: timestamppb.New(now.Add(-2 * time.Minute)), EndTime: timestamppb.New(now),
			Step: durationpb.New(time.Minute), Window: durationpb.New(10 * time.Minute),
		}
		if strings.Contains(path, "latencies") {
			want.Quantile = proto.Float64(0.95)
		}
		require.True(t, proto.Equal(want, s.measured), "%v", s.measured)
		code, pretty := s.get(t, path+"&prettyPrint=true")
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, string(pretty), "\n    \"type\": \"GAUGE\"")
		require.JSONEq(t, string(body), string(pretty))
	}
	code, body := measured().get(t, "/api/metrics/minstep")
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"data":1,"total":0,"limit":0,"offset":0,"errors":null}`, string(body))
}

// TestMonitorByOperation: names, help and labels are others then.
func TestMonitorByOperation(t *testing.T) {
	odd := `GET "/a&b" <ü>`
	for metric, name := range map[string]string{
		"calls": "service_operation_call_rate", "errors": "service_operation_error_rate", "latencies": "service_operation_latencies",
	} {
		s := measured()
		s.measures.Series[0].Operation = odd
		code, body := s.get(t, "/api/metrics/"+metric+"?service=front&groupByOperation=true&"+monitor)
		require.Equal(t, http.StatusOK, code)
		require.True(t, s.measured.GetByOperation())
		var got struct {
			Name, Help string
			Metrics    []struct {
				Labels []struct{ Name, Value string }
			}
		}
		require.NoError(t, json.Unmarshal(body, &got))
		require.Equal(t, name, got.Name)
		require.True(t, strings.HasSuffix(got.Help, " & operation"), got.Help)
		require.Equal(t, []struct{ Name, Value string }{{"service_name", "front"}, {"operation", odd}}, got.Metrics[0].Labels)
	}
}

// TestMetricsDefaults: what is not given is as in Jaeger.
func TestMetricsDefaults(t *testing.T) {
	s := &store{measures: &tracev1.MeasureServicesResponse{}}
	code, body := s.get(t, "/api/metrics/calls?service=a&service=&service=it%27s+%7Bb%7D&spanKind=client&spanKind=unspecified")
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"name":"service_call_rate","type":"GAUGE","help":"calls/sec, grouped by service","metrics":[]}`, string(body))
	want := &tracev1.MeasureServicesRequest{
		Services: []string{"a", "it's {b}"}, SpanKinds: []string{"client", "unspecified"},
		StartTime: timestamppb.New(now.Add(-time.Hour)), EndTime: timestamppb.New(now),
		Step: durationpb.New(5 * time.Second), Window: durationpb.New(10 * time.Minute),
	}
	require.True(t, proto.Equal(want, s.measured), "%v", s.measured)
	_, body = s.get(t, "/api/metrics/calls?service=a&endTs=1767323045001&lookback=1&step=1")
	require.NotContains(t, string(body), "timestamp", "no series, no points")
	s.measures.Series = []*tracev1.ServiceSeries{{Service: "a", Calls: []uint64{0, 1}, Errors: []uint64{0, 1}}}
	_, body = s.get(t, "/api/metrics/calls?service=a&endTs=1767323045001&lookback=1&step=1")
	require.Contains(t, string(body), `"timestamp":"2026-01-02T03:04:05Z"`)
	require.Contains(t, string(body), `"timestamp":"2026-01-02T03:04:05.001Z"`)
}

func TestMetricsErrors(t *testing.T) {
	for query, want := range map[string]string{
		"":                               "unable to parse param 'service': please provide at least one service name",
		"service=":                       "unable to parse param 'service': please provide at least one service name",
		"service=a&groupByOperation=yes": `unable to parse param 'groupByOperation': strconv.ParseBool: parsing "yes": invalid syntax`,
		"service=a&spanKind=SERVER":      "unable to parse param 'spanKind': unsupported span kind: 'SERVER'",
		"service=a&spanKind=":            "unable to parse param 'spanKind': unsupported span kind: ''",
		"service=a&endTs=now":            `unable to parse param 'endTs': strconv.ParseInt: parsing "now": invalid syntax`,
		"service=a&lookback=1h":          `unable to parse param 'lookback': strconv.ParseInt: parsing "1h": invalid syntax`,
		"service=a&step=0":               "unable to parse param 'step': must be from 1 to 9223372036854",
		"service=a&ratePer=-1":           "unable to parse param 'ratePer': must be from 1 to 9223372036854",
		"service=a&lookback=99999999999999999999": `unable to parse param 'lookback': strconv.ParseInt: parsing "99999999999999999999": value out of range`,
	} {
		for _, metric := range []string{"calls", "errors", "latencies"} {
			code, body := (&store{}).get(t, "/api/metrics/"+metric+"?quantile=0.5&"+query)
			require.Equal(t, http.StatusBadRequest, code)
			var got struct {
				Errors []struct {
					Code int
					Msg  string
				}
			}
			require.NoError(t, json.Unmarshal(body, &got))
			require.Equal(t, http.StatusBadRequest, got.Errors[0].Code)
			require.Equal(t, want, got.Errors[0].Msg)
		}
	}
	for quantile, want := range map[string]string{
		"": `parsing "": invalid syntax`, "p95": `parsing "p95": invalid syntax`, "NaN": "must be from 0 to 1", "95": "must be from 0 to 1", "-0.1": "must be from 0 to 1",
	} {
		code, body := (&store{}).get(t, "/api/metrics/latencies?service=a&quantile="+url.QueryEscape(quantile))
		require.Equal(t, http.StatusBadRequest, code)
		require.Contains(t, string(body), "unable to parse param 'quantile': ")
		require.Contains(t, string(body), strings.ReplaceAll(want, `"`, `\"`))
	}
	for err, want := range map[error]int{
		fault.Invalid.New("more than 11000 points"): http.StatusBadRequest,
		fault.Exhausted.New("too many spans"):       http.StatusTooManyRequests,
	} {
		code, body := (&store{err: err}).get(t, "/api/metrics/calls?service=a")
		require.Equal(t, want, code)
		require.Contains(t, string(body), fault.Of(err).Message())
	}
}
