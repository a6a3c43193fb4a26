package docs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
)

// fenced are the blocks of a Markdown text between two headings.
func fenced(t *testing.T, file, from, to string) []string {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	_, text, found := strings.Cut(string(raw), "\n## "+from+"\n")
	require.True(t, found, from)
	text, _, found = strings.Cut(text, "\n## "+to+"\n")
	require.True(t, found, to)
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)\n```\n(.*?)\n```\n").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// reader is somebody who types what a document says, in a directory of his own.
type reader struct {
	t   *testing.T
	dir string
	m   *mesh.Mesh
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{t: t, dir: t.TempDir(), m: mesh.Start(t)}
	require.NoError(t, os.Mkdir(filepath.Join(r.dir, ".bin"), 0o700))
	require.NoError(t, os.Symlink(mesh.Binary(t, "./cmd/driftmesh"), filepath.Join(r.dir, ".bin/driftmesh")))
	return r
}

// types runs a block as it stands, but for the addresses of the mesh.
func (r *reader) types(block string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", strings.ReplaceAll(block, "127.0.0.1:8000", r.m.HTTP))
	cmd.Dir, cmd.Env = r.dir, append(os.Environ(), "DRIFTMESH_ADDR="+r.m.GRPC)
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, "%s\n%s", block, out)
	return string(out)
}

func (r *reader) has(name, content string) {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600))
}

// Whoever follows README's chapter on models, line by line, gets what it says.
func TestReadmeOnModels(t *testing.T) {
	r := newReader(t)
	random := rand.New(rand.NewPCG(1, 2))
	var training, today, loans strings.Builder
	training.WriteString("age,plan\n")
	today.WriteString("at,order,age,plan\n")
	loans.WriteString("amount,said,chance,paid\n")
	for i := range 2000 {
		fmt.Fprintf(&training, "%d,%s\n", 18+random.IntN(60), []string{"free", "pro"}[random.IntN(2)])
		fmt.Fprintf(&today, "%s,%d,%d,%s\n", time.Now().Add(-time.Duration(i)*time.Second).UTC().Format(time.RFC3339), i, 30+random.IntN(60), []string{"free", "pro"}[random.IntN(2)])
		fmt.Fprintf(&loans, "%d,%t,%.3f,%t\n", random.IntN(9000), random.IntN(2) == 0, random.Float64(), random.IntN(2) == 0)
	}
	r.has("training.csv", training.String())
	r.has("today.csv", today.String())
	r.has("loans.csv", loans.String())

	ran := map[string]int{}
	for _, block := range fenced(t, "../README.md", "Watch a model", "What it promises") {
		switch {
		case strings.Contains(block, "--spans-of agent"):
			r.traces("agent", "answer", 200)
			require.Regexp(t, `gen_ai.usage.output_tokens +int +numeric`, r.types(block))
			ran["spans"]++
		case strings.HasPrefix(block, ".bin/driftmesh profile create"):
			out := r.types(block)
			ran["cli"]++
			require.Contains(t, out, "accepted 2000, rejected 0, not sent 0")
			require.Regexp(t, `psi +age +drift +psi`, out)
			require.Contains(t, out, "age: drift by psi")
			page, err := os.ReadFile(filepath.Join(r.dir, "report.html"))
			require.NoError(t, err)
			require.Contains(t, string(page), "<h1>age has moved. Everything else holds.</h1>")
			require.Regexp(t, `open +warning +ml/churn/0.1.0 +psi +age`, out)
		case strings.HasPrefix(block, ".bin/driftmesh drift compare"):
			require.Regexp(t, `psi +age +drift +psi`, r.types(block))
			require.FileExists(t, filepath.Join(r.dir, "comparison.html"))
			ran["compare"]++
		case strings.HasPrefix(block, "curl") && strings.Contains(block, "labels"):
			r.types(".bin/driftmesh profile create --reference loans.csv --space ml --name loans --target paid --prediction said --score chance --positive true")
			requireAccepted(t, r.types(block))
			ran["labels"]++
		case strings.HasPrefix(block, "curl"):
			requireAccepted(t, r.types(block))
			ran["curl"]++
		case strings.HasPrefix(block, "[{"):
			r.has("monitors.json", block)
			require.Regexp(t, `core +psi +1 false alerts in 30 days, 2 of 3 times`,
				r.types(".bin/driftmesh profile create --reference training.csv --space ml --name more --monitors monitors.json"))
			ran["monitors"]++
		default:
			t.Errorf("nobody tries this block:\n%s", block)
		}
	}
	require.Equal(t, map[string]int{"cli": 1, "compare": 1, "labels": 1, "curl": 1, "monitors": 1, "spans": 1}, ran)
	for _, option := range []string{"--budget 1", "--fixed 0.2"} {
		raw, err := os.ReadFile("../README.md")
		require.NoError(t, err)
		require.Contains(t, string(raw), "`"+option+"`")
		r.types(".bin/driftmesh profile create --reference training.csv --space ml --name other " + option)
	}
}

// traces sends spans of a service's operation as OTLP, and waits until they are
// stored.
func (r *reader) traces(service, operation string, n int) {
	r.t.Helper()
	begin := time.Now().Add(-time.Hour)
	var spans []string
	for i := range n {
		at := begin.Add(time.Duration(i) * time.Second).UnixNano()
		spans = append(spans, fmt.Sprintf(`{"traceId": "%032x", "spanId": "%016x", "name": "%s", "startTimeUnixNano": "%d", "endTimeUnixNano": "%d",
			"attributes": [{"key": "gen_ai.usage.output_tokens", "value": {"intValue": "%d"}}]}`, i+1, i+1, operation, at, at+int64(1+i%90)*1e6, 100+i))
	}
	body := fmt.Sprintf(`{"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "%s"}}]}, "scopeSpans": [{"spans": [%s]}]}]}`,
		service, strings.Join(spans, ","))
	resp, err := http.Post("http://"+r.m.OTLPHTTP+"/v1/traces", "application/json", strings.NewReader(body))
	require.NoError(r.t, err)
	require.NoError(r.t, resp.Body.Close())
	require.Equal(r.t, http.StatusOK, resp.StatusCode)
	mesh.Await(r.t, time.Minute, func() error {
		if out := r.types(".bin/driftmesh sql -o tsv 'SELECT count() FROM otel_traces'"); !strings.Contains(out, fmt.Sprint(n)) {
			return fmt.Errorf("%s of %d spans are stored", out, n)
		}
		return nil
	})
}

func requireAccepted(t *testing.T, answer string) {
	t.Helper()
	var got struct {
		Accepted   string
		Rejected   string
		Rejections []json.RawMessage
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &got), answer)
	require.Equal(t, "1", got.Accepted, answer)
	require.Empty(t, got.Rejections, answer)
}
