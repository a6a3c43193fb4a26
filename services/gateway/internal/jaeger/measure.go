package jaeger

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/plain"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// Jaeger's defaults.
const (
	defaultMetricsLookback = time.Hour
	defaultMetricsStep     = 5 * time.Second
	defaultMetricsWindow   = 10 * time.Minute
	defaultMetricsKind     = "server"
)

// minStep answers the shortest step in milliseconds.
func (h *Handler) minStep(w http.ResponseWriter, r *http.Request) {
	h.write(w, r, envelope{Data: 1})
}

// family is one of Jaeger's three metrics, apart from its numbers.
type family struct {
	name, operationName, help string
	// value is that of the i-th point.
	value func(s *tracev1.ServiceSeries, i int) float64
}

// calls gives calls a second.
func (h *Handler) calls(w http.ResponseWriter, r *http.Request) {
	req, err := parseMeasure(r.URL.Query(), h.now())
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	h.measure(w, r, req, &family{
		"service_call_rate", "service_operation_call_rate", "calls/sec, grouped by service",
		func(s *tracev1.ServiceSeries, i int) float64 {
			return float64(s.GetCalls()[i]) / req.GetWindow().AsDuration().Seconds()
		},
	})
}

// errors gives the share of calls that failed.
func (h *Handler) errors(w http.ResponseWriter, r *http.Request) {
	req, err := parseMeasure(r.URL.Query(), h.now())
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	h.measure(w, r, req, &family{
		"service_error_rate", "service_operation_error_rate",
		"error rate, computed as a fraction of errors/sec over calls/sec, grouped by service",
		func(s *tracev1.ServiceSeries, i int) float64 { // 0/0, without calls, is NaN
			return float64(s.GetErrors()[i]) / float64(s.GetCalls()[i])
		},
	})
}

// latencies gives a quantile of the durations in milliseconds.
func (h *Handler) latencies(w http.ResponseWriter, r *http.Request) {
	quantile, err := strconv.ParseFloat(r.URL.Query().Get("quantile"), 64)
	if err != nil {
		h.Fail(w, r, unparsable("quantile", "%s", err))
		return
	}
	if !(quantile >= 0 && quantile <= 1) {
		h.Fail(w, r, unparsable("quantile", "must be from 0 to 1"))
		return
	}
	req, err := parseMeasure(r.URL.Query(), h.now())
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	req.Quantile = &quantile
	h.measure(w, r, req, &family{
		"service_latencies", "service_operation_latencies",
		fmt.Sprintf("%.2fth quantile latency, grouped by service", quantile),
		func(s *tracev1.ServiceSeries, i int) float64 { return s.GetDurations()[i] / 1e6 },
	})
}

// unparsable words a bad parameter of the metrics as Jaeger does.
func unparsable(name, format string, args ...any) error {
	return fault.Invalid.New("unable to parse param '%s': %s", name, fmt.Sprintf(format, args...)).WithReason("BAD_PARAMETER")
}

// parseMeasure reads what the three metrics have in common. Times are in
// milliseconds.
func parseMeasure(v url.Values, now time.Time) (*tracev1.MeasureServicesRequest, error) {
	req := &tracev1.MeasureServicesRequest{
		Services:  slices.DeleteFunc(slices.Clone(v["service"]), func(name string) bool { return name == "" }),
		SpanKinds: []string{defaultMetricsKind},
	}
	if len(req.Services) == 0 {
		return nil, unparsable("service", "please provide at least one service name")
	}
	var err error
	if s := v.Get("groupByOperation"); s != "" {
		if req.ByOperation, err = strconv.ParseBool(s); err != nil {
			return nil, unparsable("groupByOperation", "%s", err)
		}
	}
	if kinds, ok := v["spanKind"]; ok {
		for _, kind := range kinds {
			if !slices.Contains(plain.Kinds, kind) {
				return nil, unparsable("spanKind", "unsupported span kind: '%s'", clip(kind))
			}
		}
		req.SpanKinds = kinds
	}
	end, err := milliseconds(v, "endTs", now.UnixMilli(), 0)
	if err != nil {
		return nil, err
	}
	lookback, err := milliseconds(v, "lookback", defaultMetricsLookback.Milliseconds(), 0)
	if err != nil {
		return nil, err
	}
	step, err := milliseconds(v, "step", defaultMetricsStep.Milliseconds(), 1)
	if err != nil {
		return nil, err
	}
	window, err := milliseconds(v, "ratePer", defaultMetricsWindow.Milliseconds(), 1)
	if err != nil {
		return nil, err
	}
	req.StartTime, req.EndTime = timestamppb.New(time.UnixMilli(end-lookback)), timestamppb.New(time.UnixMilli(end))
	req.Step = durationpb.New(time.Duration(step) * time.Millisecond)
	req.Window = durationpb.New(time.Duration(window) * time.Millisecond)
	return req, nil
}

func milliseconds(v url.Values, name string, otherwise, least int64) (int64, error) {
	s := v.Get(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, unparsable(name, "%s", err)
	}
	if n < least || n > maxMicros/1000 {
		return 0, unparsable(name, "must be from %d to %d", least, int64(maxMicros/1000))
	}
	return n, nil
}

func (h *Handler) measure(w http.ResponseWriter, r *http.Request, req *tracev1.MeasureServicesRequest, f *family) {
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	resp, err := h.traces.MeasureServices(ctx, req)
	if err != nil {
		h.Fail(w, r, err)
		return
	}
	if p := r.URL.Query().Get("prettyPrint"); p != "" && p != "false" {
		var all, pretty bytes.Buffer
		f.writeTo(bufio.NewWriter(&all), req, resp.GetSeries())
		if json.Indent(&pretty, all.Bytes(), "", "    ") == nil {
			writeBytes(w, http.StatusOK, pretty.Bytes())
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	f.writeTo(bufio.NewWriterSize(w, writeBuffer), req, resp.GetSeries())
}

// writeTo writes a MetricFamily as protobuf's JSON has it, in which what is not
// a number is a text.
func (f *family) writeTo(out *bufio.Writer, req *tracev1.MeasureServicesRequest, series []*tracev1.ServiceSeries) {
	name, help := f.name, f.help
	if req.GetByOperation() {
		name, help = f.operationName, help+" & operation"
	}
	fmt.Fprintf(out, `{"name":%q,"type":"GAUGE","help":%q,"metrics":[`, name, help)
	times := pointTimes(req)
	var number []byte
	for i, s := range series {
		if i > 0 {
			_ = out.WriteByte(',')
		}
		_, _ = out.WriteString(`{"labels":`)
		labels := []metricLabel{{"service_name", s.GetService()}}
		if req.GetByOperation() {
			labels = append(labels, metricLabel{"operation", s.GetOperation()})
		}
		raw, _ := json.Marshal(labels) // texts cannot fail
		_, _ = out.Write(raw)
		_, _ = out.WriteString(`,"metricPoints":[`)
		for k := range min(len(times), len(s.GetCalls())) {
			if k > 0 {
				_ = out.WriteByte(',')
			}
			_, _ = out.WriteString(`{"gaugeValue":{"doubleValue":`)
			number = appendNumber(number[:0], f.value(s, k))
			_, _ = out.Write(number)
			_, _ = out.WriteString(`},"timestamp":"`)
			_, _ = out.WriteString(times[k])
			_, _ = out.WriteString(`"}`)
		}
		_, _ = out.WriteString(`]}`)
	}
	_, _ = out.WriteString(`]}`)
	_ = out.Flush() // the caller went away: nobody is left to tell
}

type metricLabel struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// pointTimes writes the times of the points as protobuf does: a fraction has
// three digits, or is not there.
func pointTimes(req *tracev1.MeasureServicesRequest) []string {
	var times []string
	step, end := req.GetStep().AsDuration(), req.GetEndTime().AsTime()
	for t := req.GetStartTime().AsTime(); !t.After(end); t = t.Add(step) {
		layout := "2006-01-02T15:04:05.000Z"
		if t.Nanosecond() == 0 {
			layout = "2006-01-02T15:04:05Z"
		}
		times = append(times, t.Format(layout))
	}
	return times
}

func appendNumber(dst []byte, n float64) []byte {
	if math.IsNaN(n) {
		return append(dst, `"NaN"`...)
	}
	return strconv.AppendFloat(dst, n, 'g', -1, 64)
}
