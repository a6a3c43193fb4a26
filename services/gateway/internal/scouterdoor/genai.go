package scouterdoor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse/sqltext"
	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// kind is what a column of a view holds.
type kind int

const (
	text   kind = iota // null when empty
	number             // an integer
	fraction
	moment // nanoseconds since 1970
)

// column is a member of the objects of an answer, and what it is in SQL.
type column struct {
	name string
	kind kind
	sql  string
}

// view is an answer about the spans of language models and agents: those with the
// attribute gen_ai.operation.name. Its first columns are what it is grouped by.
type view struct {
	key     string // of the list in the answer
	groups  int    // at most 3
	where   string
	columns []column
}

// attribute is one of a span.
func attribute(name string) string { return "SpanAttributes['" + name + "']" }

func tokens(name string) string {
	return "sum(toInt64(toFloat64OrZero(" + attribute("gen_ai.usage."+name) + ")))"
}

// Columns that views share.
var (
	input     = column{"total_input_tokens", number, tokens("input_tokens")}
	output    = column{"total_output_tokens", number, tokens("output_tokens")}
	spanCount = column{"span_count", number, "count()"}
	callCount = column{"call_count", number, "count()"}
	errorRate = column{"error_rate", fraction, "avg(StatusCode = 'Error')"}
	average   = column{"avg_duration_ms", fraction, "avg(Duration) / 1e6"}
	provider  = column{"provider_name", text, attribute("gen_ai.provider.name")}
)

// bucketMark stands for the width of buckets in nanoseconds.
const bucketMark = "{width}"

// modelOf is the model that answered, or else the one that was asked.
const modelOf = "if(SpanAttributes['gen_ai.response.model'] != '', SpanAttributes['gen_ai.response.model'], SpanAttributes['gen_ai.request.model'])"

// views are the routes below genai/metrics.
var views = map[string]view{
	"tokens": {"buckets", 1, "", []column{
		{"bucket_start", moment, "intDiv(toUnixTimestamp64Nano(Timestamp), " + bucketMark + ") * " + bucketMark}, input, output,
		{"total_cache_creation_tokens", number, tokens("cache_creation.input_tokens")}, {"total_cache_read_tokens", number, tokens("cache_read.input_tokens")}, spanCount, errorRate,
	}},
	"operations": {"operations", 2, "", []column{{"operation_name", text, attribute("gen_ai.operation.name")}, provider, spanCount, average, input, output, errorRate}},
	"models": {"models", 2, modelOf + " != ''", []column{
		{"model", text, modelOf}, provider, spanCount, input, output,
		{"p50_duration_ms", fraction, "quantileExactInclusive(0.5)(Duration) / 1e6"}, {"p95_duration_ms", fraction, "quantileExactInclusive(0.95)(Duration) / 1e6"}, errorRate,
	}},
	"agents": {"agents", 3, attribute("gen_ai.agent.name") + " != ''", []column{
		{"agent_name", text, attribute("gen_ai.agent.name")}, {"agent_id", text, attribute("gen_ai.agent.id")}, {"conversation_id", text, attribute("gen_ai.conversation.id")},
		spanCount, input, output, {"last_seen", moment, "max(toUnixTimestamp64Nano(Timestamp) + toInt64(Duration))"},
	}},
	"tools":  {"tools", 2, attribute("gen_ai.tool.name") + " != ''", []column{{"tool_name", text, attribute("gen_ai.tool.name")}, {"tool_type", text, attribute("gen_ai.tool.type")}, callCount, average, errorRate}},
	"errors": {"errors", 1, attribute("error.type") + " != ''", []column{{"error_type", text, attribute("error.type")}, {"count", number, "count()"}}},
}

// mostGroups are told at most.
const mostGroups = 10_000

// selected are columns as SQL, which is to call them c0, c1 and so on.
func selected(columns []column) string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = c.sql + " AS c" + strconv.Itoa(i)
	}
	return strings.Join(all, ", ")
}

// genai answers about the spans of language models.
func (d *Door) genai(v view) Route {
	return func(r *http.Request) (any, error) {
		req, err := asked[struct {
			Service   string    `json:"service_name"`
			Start     time.Time `json:"start_time"`
			End       time.Time `json:"end_time"`
			Interval  string    `json:"bucket_interval"`
			Operation string    `json:"operation_name"`
			Provider  string    `json:"provider_name"`
			Model     string    `json:"model"`
		}](r)
		switch {
		case err != nil:
			return nil, err
		case !req.Start.Before(req.End):
			return nil, fault.Invalid.New("start_time and end_time are required, in this order").WithReason("FIELD_INVALID")
		case req.Interval == "":
			req.Interval = "hour"
		}
		width, err := scouter.BucketWidth(req.Interval)
		if err != nil {
			return nil, err
		}
		where := []string{
			attribute("gen_ai.operation.name") + " != ''",
			fmt.Sprintf("Timestamp >= fromUnixTimestamp64Nano(%d) AND Timestamp < fromUnixTimestamp64Nano(%d)", req.Start.UnixNano(), req.End.UnixNano()),
		}
		if v.where != "" {
			where = append(where, v.where)
		}
		for expression, value := range map[string]string{
			"ServiceName": req.Service, attribute("gen_ai.operation.name"): req.Operation, attribute("gen_ai.provider.name"): req.Provider,
			modelOf: req.Model, attribute("gen_ai.agent.name"): r.URL.Query().Get("agent_name"),
		} {
			if value != "" {
				where = append(where, expression+" = "+sqltext.Quote(value))
			}
		}
		columns := strings.ReplaceAll(selected(v.columns), bucketMark, strconv.FormatInt(int64(width), 10))
		by := strings.Join([]string{"c0", "c1", "c2"}[:v.groups], ", ")
		all, err := d.viewed(r, v.columns, fmt.Sprintf("SELECT %s FROM otel_traces WHERE %s GROUP BY %s ORDER BY %s LIMIT %d",
			columns, strings.Join(where, " AND "), by, by, mostGroups))
		return map[string]any{v.key: all}, err
	}
}

// viewed runs a query and makes an object of each row.
func (d *Door) viewed(r *http.Request, columns []column, query string) (all []map[string]any, err error) {
	all = []map[string]any{}
	stream, err := d.Traces.QuerySQL(asCaller(r.Context(), r), &tracev1.QuerySQLRequest{Query: query})
	for err == nil {
		var part *tracev1.QuerySQLResponse
		if part, err = stream.Recv(); err != nil {
			break
		}
		for _, raw := range part.GetRows() {
			var row []any
			decoder := json.NewDecoder(bytes.NewReader([]byte(raw)))
			decoder.UseNumber()
			if err := decoder.Decode(&row); err != nil || len(row) != len(columns) {
				return nil, fault.Internal.New("a row of the answer is not understood")
			}
			one := map[string]any{}
			for i, c := range columns {
				one[c.name] = c.kind.of(row[i])
			}
			all = append(all, one)
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return all, nil
}

// edges are the columns of the service graph: who called whom, at what.
var edges = []column{
	{"source_service", text, "p.ServiceName"}, {"destination_service", text, "c.ServiceName"}, {"endpoint", text, "c.SpanName"}, {"total_calls", number, "count()"},
	{"first_seen", moment, "min(toUnixTimestamp64Nano(c.Timestamp))"}, {"last_seen", moment, "max(toUnixTimestamp64Nano(c.Timestamp))"},
	{"avg_latency_ms", fraction, "avg(c.Duration) / 1e6"}, {"error_count", number, "sum(c.StatusCode = 'Error')"}, {"error_rate_pct", fraction, "100 * avg(c.StatusCode = 'Error')"},
}

// graphRange is how far back calls are looked for unless told.
const graphRange = 24 * time.Hour

// graph tells which services called which, by the spans whose parent is of another
// service.
func (d *Door) graph(r *http.Request) (any, error) {
	q, now := r.URL.Query(), d.Now()
	since := now.Add(-graphRange)
	if said := q.Get("since"); said != "" {
		var err error
		if since, err = time.Parse(time.RFC3339Nano, said); err != nil {
			return nil, fault.Invalid.New("since: want a time as in RFC 3339").WithReason("FIELD_INVALID")
		}
	}
	const recent = "Timestamp >= fromUnixTimestamp64Nano(%d)"
	where := "c.ServiceName != p.ServiceName"
	if service := q.Get("service_name"); service != "" {
		where += " AND (c.ServiceName = " + sqltext.Quote(service) + " OR p.ServiceName = " + sqltext.Quote(service) + ")"
	}
	// A parent starts a while before, if at all, than what it called.
	all, err := d.viewed(r, edges, fmt.Sprintf(`SELECT %s FROM
		(SELECT TraceId, ParentSpanId, ServiceName, SpanName, Timestamp, Duration, StatusCode FROM otel_traces WHERE ParentSpanId != '' AND `+recent+`) AS c
		JOIN (SELECT TraceId, SpanId, ServiceName FROM otel_traces WHERE `+recent+`) AS p ON c.TraceId = p.TraceId AND c.ParentSpanId = p.SpanId
		WHERE %s GROUP BY c0, c1, c2 ORDER BY c0, c1, c2 LIMIT %d`, selected(edges), since.UnixNano(), since.Add(-time.Hour).UnixNano(), where, mostGroups))
	return map[string]any{"edges": all, "generated_at": now.UTC()}, err
}

// of is a value of a row, whose large integers may be texts.
func (k kind) of(v any) any {
	said := fmt.Sprint(v)
	if k == text {
		if v == nil || said == "" {
			return nil
		}
		return said
	}
	if k == fraction {
		f, _ := strconv.ParseFloat(said, 64) // what is no number is 0
		return f
	}
	n, _ := strconv.ParseInt(said, 10, 64)
	if k == moment {
		return time.Unix(0, n).UTC()
	}
	return n
}
