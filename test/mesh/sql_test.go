package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
)

const (
	richTrace  = "5b8efff798038103d269b633813fc60c"
	otherTrace = "6b8efff798038103d269b633813fc60d"
)

// rich is a request with some of everything that OTLP/JSON has.
const rich = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"scope":{"name":"lib","version":"1"},"spans":[` +
	`{"traceId":"` + richTrace + `","spanId":"eee19b7ec3c1b174","name":"GET /cart","kind":2,"startTimeUnixNano":"1795000000000000001","endTimeUnixNano":"1795000000500000000","attributes":[` +
	`{"key":"big","value":{"intValue":"9007199254740993"}},{"key":"ratio","value":{"doubleValue":0.5}},{"key":"list","value":{"arrayValue":{"values":[{"stringValue":"a"},{"boolValue":true}]}}},` +
	`{"key":"bytes","value":{"bytesValue":"AAEC"}}],"events":[{"timeUnixNano":"1795000000100000000","name":"exception","attributes":[{"key":"exception.type","value":{"stringValue":"Timeout"}}]}],` +
	`"status":{"message":"boom","code":2}},` +
	`{"traceId":"` + richTrace + `","spanId":"fee19b7ec3c1b174","parentSpanId":"eee19b7ec3c1b174","name":"SELECT","kind":3,"startTimeUnixNano":"1795000000200000000","endTimeUnixNano":"1795000000300000000",` +
	`"links":[{"traceId":"` + richTrace + `","spanId":"eee19b7ec3c1b174"}]}]}]}]}`

// send posts a body as m's caller and returns the answer, which must be OK.
func send(t *testing.T, m *mesh.Mesh, url, contentType, body string) (answer string, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+m.Token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, errors.Join(err, resp.Body.Close()))
	require.Equal(t, http.StatusOK, resp.StatusCode, string(raw))
	return string(raw), resp.Header
}

// What REST and the CLI give of a trace is OTLP/JSON that the door takes again,
// and the same comes out; SQL answers over REST and CLI.
func requireOTLPOut(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	post := func(body string) {
		t.Helper()
		answer, _ := send(t, m, "http://"+m.OTLPHTTP+"/v1/traces", "application/json", body)
		require.NotContains(t, answer, "partialSuccess")
	}
	get := func(id string) string {
		t.Helper()
		var out json.RawMessage
		mesh.Await(t, time.Minute, func() error {
			if status := m.Get(t, "/api/v1/traces/"+id, &out); status != http.StatusOK {
				return fmt.Errorf("status %d", status)
			}
			return nil
		})
		return string(out)
	}
	post(rich)
	over := get(richTrace)
	require.JSONEq(t, rich, over)
	again := strings.ReplaceAll(over, richTrace, otherTrace)
	post(again)
	require.JSONEq(t, again, get(otherTrace))
	require.JSONEq(t, rich, m.MustCLI(t, "traces", "show", richTrace, "-o", "json"))

	table := m.MustCLI(t, "traces", "show", richTrace)
	for _, want := range []string{
		"GET /cart  shop server  ", "\n    status: error: boom\n", "\n    big: 9007199254740993\n", "\n    event: exception at +99.999999ms\n",
		"\n      exception.type: Timeout\n", "\n  SELECT  shop client  ", "\n      link: " + richTrace + " eee19b7ec3c1b174",
	} {
		require.Contains(t, table, want)
	}
	requireSQL(t, m)
}

func requireSQL(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	const statement = "SELECT SpanName, count() AS n FROM otel_traces WHERE ServiceName = 'shop' GROUP BY SpanName ORDER BY SpanName"
	require.Equal(t, "SpanName   n\nGET /cart  2\nSELECT     2", m.MustCLI(t, "sql", statement))
	require.Equal(t, "SpanName,n\nGET /cart,2\nSELECT,2", m.MustCLI(t, "sql", statement, "-o", "csv"))
	require.Equal(t, "SpanName\tn\nGET /cart\t2\nSELECT\t2", m.MustCLI(t, "sql", statement, "-o", "tsv"))
	require.Equal(t, []string{`{"SpanName":"GET /cart","n":2}`, `{"SpanName":"SELECT","n":2}`}, strings.Split(m.MustCLI(t, "sql", statement, "-o", "json"), "\n"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, mesh.Binary(t, "./cmd/driftmesh"), "sql", "--addr", m.GRPC, "-o", "csv")
	cmd.Env = append(os.Environ(), "DRIFTMESH_TOKEN="+m.Token)
	cmd.Stdin = strings.NewReader(statement)
	piped, err := cmd.Output()
	require.NoError(t, err)
	require.Equal(t, "SpanName,n\nGET /cart,2\nSELECT,2\n", string(piped))
	out, err := m.CLI(t, "sql", "SELECT nothing FROM otel_traces")
	require.Error(t, err)
	require.Contains(t, out, "nothing")

	body, err := json.Marshal(map[string]string{"query": statement})
	require.NoError(t, err)
	for contentType, text := range map[string]string{"application/json": string(body), "text/plain": statement} {
		answer, header := send(t, m, "http://"+m.HTTP+"/api/v1/sql?format=csv", contentType, text)
		require.Equal(t, "SpanName,n\nGET /cart,2\nSELECT,2\n", answer)
		require.Contains(t, header.Get("Content-Type"), "text/csv")
	}
	var row struct{ N int }
	require.Equal(t, http.StatusOK, m.Get(t, "/api/v1/sql?query=SELECT%20count()%20AS%20N%20FROM%20otel_traces_trace_id_ts%20WHERE%20TraceId%20%3D%20'"+richTrace+"'", &row))
	require.Equal(t, 1, row.N)
	require.Equal(t, http.StatusBadRequest, m.Get(t, "/api/v1/sql?query=DROP%20TABLE%20x", nil))
	require.Equal(t, http.StatusBadRequest, m.Get(t, "/api/v1/sql?query=SELECT%201&format=xml", nil))
}
