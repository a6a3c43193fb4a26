package mesh_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
)

// requireScouterGenAI sends spans of language models, and asks what they come to.
func requireScouterGenAI(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	c := &scouterClient{t: t, m: m, token: m.Token}
	begin := time.Date(2026, 11, 27, 9, 59, 59, 0, time.UTC)
	var spans []object
	add := func(operation string, failed bool, took time.Duration, attributes ...string) {
		all := []object{{"key": "gen_ai.operation.name", "value": object{"stringValue": operation}}}
		for i := 0; i < len(attributes); i += 2 {
			value := object{"stringValue": attributes[i+1]}
			if _, err := strconv.Atoi(attributes[i+1]); err == nil {
				value = object{"intValue": attributes[i+1]}
			}
			all = append(all, object{"key": attributes[i], "value": value})
		}
		code, start := 1, begin.Add(time.Duration(len(spans))*time.Second)
		if failed {
			code = 2
		}
		spans = append(spans, object{
			"traceId": fmt.Sprintf("%032x", 4096+len(spans)), "spanId": fmt.Sprintf("%016x", 4096+len(spans)), "parentSpanId": "", "name": operation, "kind": 3, "attributes": all,
			"startTimeUnixNano": strconv.FormatInt(start.UnixNano(), 10), "endTimeUnixNano": strconv.FormatInt(start.Add(took).UnixNano(), 10), "status": object{"message": "", "code": code},
		})
	}
	add("chat", false, 50*time.Millisecond, "gen_ai.provider.name", "openai", "gen_ai.request.model", "gpt", "gen_ai.response.model", "gpt-4o", "gen_ai.usage.input_tokens", "100", "gen_ai.usage.output_tokens", "20")
	add("chat", true, 150*time.Millisecond, "gen_ai.provider.name", "openai", "gen_ai.request.model", "gpt-4o", "gen_ai.usage.input_tokens", "50", "gen_ai.usage.cache_read.input_tokens", "7", "error.type", `time'out\`)
	add("execute_tool", false, 50*time.Millisecond, "gen_ai.tool.name", "search", "gen_ai.tool.type", "function")
	add("invoke_agent", false, time.Second, "gen_ai.agent.name", "anna", "gen_ai.agent.id", "a1", "gen_ai.conversation.id", "c1", "gen_ai.usage.output_tokens", "5")
	spans = append(spans, object{
		"traceId": fmt.Sprintf("%032x", 8192), "spanId": fmt.Sprintf("%016x", 8192), "name": "no model's", "startTimeUnixNano": strconv.FormatInt(begin.UnixNano(), 10), "endTimeUnixNano": strconv.FormatInt(begin.UnixNano(), 10),
	})
	c.must(http.MethodPost, "message", object{"request": object{"resourceSpans": []object{{
		"resource": object{"attributes": []object{{"key": "service.name", "value": object{"stringValue": "bot"}}}}, "scopeSpans": []object{{"scope": object{"name": "s"}, "spans": spans}},
	}}}}, nil)
	ask := func(path string, more ...string) (answer object) {
		body := object{"start_time": "2026-11-27T00:00:00Z", "end_time": "2026-11-28T00:00:00Z", "bucket_interval": "hour"}
		for i := 0; i < len(more); i += 2 {
			body[more[i]] = more[i+1]
		}
		c.must(http.MethodPost, "genai/metrics/"+path, body, &answer)
		return answer
	}
	require.Eventually(t, func() bool { all, _ := ask("operations")["operations"].([]any); return len(all) == 3 }, soon, tick)
	bucket := func(at string, in, out, read, spans, failed float64) object {
		return object{"bucket_start": at, "total_input_tokens": in, "total_output_tokens": out, "total_cache_creation_tokens": 0., "total_cache_read_tokens": read, "span_count": spans, "error_rate": failed}
	}
	require.Equal(t, object{"buckets": []any{bucket("2026-11-27T09:00:00Z", 100, 20, 0, 1, 0), bucket("2026-11-27T10:00:00Z", 50, 5, 7, 3, 1./3)}}, ask("tokens"))
	operation := func(name string, provider any, spans, took, in, out, failed float64) object {
		return object{"operation_name": name, "provider_name": provider, "span_count": spans, "avg_duration_ms": took, "total_input_tokens": in, "total_output_tokens": out, "error_rate": failed}
	}
	chat := operation("chat", "openai", 2, 100, 150, 20, 0.5)
	require.Equal(t, object{"operations": []any{chat, operation("execute_tool", nil, 1, 50, 0, 0, 0), operation("invoke_agent", nil, 1, 1000, 0, 5, 0)}}, ask("operations"))
	require.Equal(t, object{"operations": []any{chat}}, ask("operations", "service_name", "bot", "provider_name", "openai", "model", "gpt-4o", "operation_name", "chat"))
	for _, no := range []string{"gpt", `gpt-4o' OR 1=1 --`, `\`, `gpt-4o\' OR 1=1 --`} {
		require.Equal(t, object{"operations": []any{}}, ask("operations", "model", no), no)
	}
	require.Equal(t, object{"models": []any{object{
		"model": "gpt-4o", "provider_name": "openai", "span_count": 2., "total_input_tokens": 150., "total_output_tokens": 20., "p50_duration_ms": 100., "p95_duration_ms": 145., "error_rate": 0.5,
	}}}, ask("models"))
	agents := object{"agents": []any{object{
		"agent_name": "anna", "agent_id": "a1", "conversation_id": "c1", "span_count": 1., "total_input_tokens": 0., "total_output_tokens": 5., "last_seen": "2026-11-27T10:00:03Z",
	}}}
	require.Equal(t, agents, ask("agents"))
	require.Equal(t, agents, ask("agents?agent_name=anna"))
	require.Equal(t, object{"agents": []any{}}, ask("agents?agent_name=berta"))
	require.Equal(t, object{"tools": []any{object{"tool_name": "search", "tool_type": "function", "call_count": 1., "avg_duration_ms": 50., "error_rate": 0.}}}, ask("tools"))
	require.Equal(t, object{"errors": []any{object{"error_type": `time'out\`, "count": 1.}}}, ask("errors"))
	require.Equal(t, http.StatusBadRequest, c.try(http.MethodPost, "genai/metrics/tokens", object{}, nil))
	requireScouterGraph(t, c)
}

// requireScouterGraph sends calls from a service to another, and asks who called whom.
func requireScouterGraph(t *testing.T, c *scouterClient) {
	t.Helper()
	begin := time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)
	span := func(trace, id, parent int, name string, took time.Duration, code int) object {
		s := object{
			"traceId": fmt.Sprintf("%032x", trace), "spanId": fmt.Sprintf("%016x", id), "parentSpanId": "", "name": name, "kind": 2, "status": object{"code": code},
			"startTimeUnixNano": strconv.FormatInt(begin.UnixNano(), 10), "endTimeUnixNano": strconv.FormatInt(begin.Add(took).UnixNano(), 10),
		}
		if parent > 0 {
			s["parentSpanId"] = fmt.Sprintf("%016x", parent)
		}
		return s
	}
	of := func(service string, spans ...object) object {
		return object{"resource": object{"attributes": []object{{"key": "service.name", "value": object{"stringValue": service}}}}, "scopeSpans": []object{{"scope": object{"name": "s"}, "spans": spans}}}
	}
	c.must(http.MethodPost, "message", object{"request": object{"resourceSpans": []object{
		of("shop", span(9000, 1, 0, "buy", time.Second, 1), span(9000, 2, 1, "inside", time.Second, 1), span(9001, 3, 0, "buy", time.Second, 1)),
		of("pay", span(9000, 4, 2, "charge", 100*time.Millisecond, 1), span(9001, 5, 3, "charge", 300*time.Millisecond, 2)),
	}}}, nil)
	type edge struct {
		From   string    `json:"source_service"`
		To     string    `json:"destination_service"`
		At     string    `json:"endpoint"`
		Calls  int       `json:"total_calls"`
		First  time.Time `json:"first_seen"`
		Last   time.Time `json:"last_seen"`
		Took   float64   `json:"avg_latency_ms"`
		Errors int       `json:"error_count"`
		Failed float64   `json:"error_rate_pct"`
	}
	edges := func(query string) (all []edge) {
		var answer struct{ Edges []edge }
		c.must(http.MethodGet, "service/graph"+query, nil, &answer)
		return answer.Edges
	}
	want := []edge{{"shop", "pay", "charge", 2, begin, begin, 200, 1, 50}}
	require.Eventually(t, func() bool { all := edges(""); return len(all) == 1 && all[0].Calls == 2 }, soon, tick)
	require.Equal(t, want, edges(""))
	require.Equal(t, want, edges("?service_name=pay"))
	require.Empty(t, edges("?service_name=another"))
	require.Empty(t, edges("?since="+begin.Add(time.Second).Format(time.RFC3339Nano)))
	require.Equal(t, http.StatusBadRequest, c.try(http.MethodGet, "service/graph?since=yesterday", nil, nil))
}
