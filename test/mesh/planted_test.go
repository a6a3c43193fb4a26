package mesh_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// hostile is a text that takes over a terminal: it clears the screen, writes the
// clipboard, and turns the direction of what follows.
const hostile = "a\x1b[2J\x1b]52;c;cm0gLXJmIH4=\x07\u009b31m\u202egnp\r\bz"

// requireTameTerminal plants hostile text wherever a stranger can, and requires
// that no command passes it on to the terminal.
func requireTameTerminal(t *testing.T, s *mesh.Secure, admin string, p *producer, key string) {
	t.Helper()
	request := someSpan(hostile)
	span := request.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0]
	text := &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: hostile}}
	span.Name, span.Status = hostile, &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: hostile}
	span.Attributes = []*commonpb.KeyValue{{Key: hostile, Value: text}, {Key: "input.value", Value: text}}
	span.Events = []*tracepb.Span_Event{{Name: hostile, TimeUnixNano: span.GetStartTimeUnixNano(), Attributes: span.GetAttributes()}}
	_, err := coltracepb.NewTraceServiceClient(s.Dial(t, s.OTLPGRPC)).Export(t.Context(), request)
	require.NoError(t, err)
	header := strings.NewReplacer("\r", "", "\n", "").Replace(hostile)
	p.publish(toInbox("hostile", []byte(hostile), "authorization", "Bearer "+key, "driftmesh-type", header, "content-type", header))
	file := hostileTable(t)
	s.MustCLI(t, "profile", "create", "--reference", file, "--name", "hostile")
	s.MustCLI(t, "records", "send", file, "--profile", "default/hostile")
	_, err = s.CLI(t, "login", hostile, "--tenant", "default", "--password", "wrong password") // is on the account of who did what
	require.Error(t, err)
	_, _ = s.CLI(t, "key", "create", hostile)
	_, _ = s.CLI(t, "user", "create", hostile, "--password", adminPassword)

	var letters struct {
		DeadLetters []letterJSON `json:"dead_letters"`
	}
	mesh.Await(t, time.Minute, func() error {
		s.JSON(t, &letters, "dlq", "list")
		if len(letters.DeadLetters) == 0 {
			return fmt.Errorf("no letter yet")
		}
		return nil
	})
	mesh.Await(t, time.Minute, func() error {
		if out := s.MustCLI(t, "traces", "services"); !strings.Contains(out, "52;c;") {
			return fmt.Errorf("the service is not there: %q", out)
		}
		return nil
	})
	said := 0
	for _, command := range [][]string{
		{"traces", "services"}, {"traces", "search"}, {"traces", "search", "--service", hostile}, {"traces", "show", traceOf(request)},
		{"sql", "SELECT ServiceName, SpanName, StatusMessage, SpanAttributes FROM otel_traces WHERE SpanName LIKE 'a%' LIMIT 5"},
		{"sql", "SELECT '" + hostile + "'"}, {"profile", "list"}, {"profile", "show", "default/hostile"},
		{"drift", "run", "default/hostile"}, {"drift", "now", "default/hostile"}, {"drift", "show", "default/hostile"}, {"drift", "scores", "default/hostile"},
		{"drift", "compare", file, file}, {"alerts", "list"}, {"alerts", "deliveries"}, {"alerts", "silence", "list"}, {"ledger"}, {"dlq", "list"},
		{"dlq", "show", letters.DeadLetters[0].ID}, {"key", "list"}, {"user", "list"}, {"audit", "list"}, {"whoami"}, {"traces", "show", hostile}, {"alerts", "ack", hostile},
		{"topics", "lag", "--token", admin}, {"tenant", "list", "--token", admin}, {"audit", "list", "--token", admin},
	} {
		forms := []string{"", "json"}
		switch command[0] {
		case "sql":
			forms = append(forms, "csv", "tsv")
		case "traces":
			forms = append(forms, "yaml")
		}
		for _, form := range forms {
			args := command
			if form != "" {
				args = append(args[:len(args):len(args)], "-o", form)
			}
			out, _ := s.CLI(t, args...) // a form that it does not know, or a thing that is not there, is an error in words
			requireTame(t, out, args)
			if strings.Contains(out, "52;c;") {
				said++
			}
		}
	}
	require.Greater(t, said, 15, "so many show it, as text")
}

// hostileTable is a file of 60 rows whose columns and categories are hostile.
func hostileTable(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hostile.csv")
	f, err := os.Create(path)
	require.NoError(t, err)
	w := csv.NewWriter(f)
	require.NoError(t, w.Write([]string{hostile, "kind"}))
	for i := range 60 {
		require.NoError(t, w.Write([]string{fmt.Sprint(i % 7), []string{hostile, "plain"}[i%2]}))
	}
	w.Flush()
	require.NoError(t, w.Error())
	require.NoError(t, f.Close())
	return path
}

func requireTame(t *testing.T, out string, args []string) {
	t.Helper()
	require.True(t, utf8.ValidString(out), "%v: %q", args, out)
	for _, r := range out {
		control := r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
		require.False(t, control, "%v: %q in %q", args, r, out)
	}
}

// requireNoSecretShows looks for everything that is secret in what others get to
// see: command lines, logs, metrics, answers, and what is stored for ever.
func requireNoSecretShows(t *testing.T, s *mesh.Secure, planted map[string]string) {
	t.Helper()
	const guess = "planted-guess-9f8e7d6c"
	planted["guessed token"], planted["the first mesh secret"], planted["the administrator's password"] = guess, mesh.Secret, adminPassword
	planted["admin token"] = s.AdminToken
	for user, password := range s.Passwords {
		planted["password of "+user] = password
	}
	for i, secret := range s.MeshSecrets() {
		planted[fmt.Sprint("mesh secret ", i)] = secret
	}
	places := map[string]string{"what the doors say to a guess": answersTo(t, s, guess)}
	for _, name := range mesh.Services {
		process := s.Process(name)
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process.PID()))
		require.NoError(t, err)
		places["command line of "+name], places["log of "+name] = string(line), process.Log()
		places["metrics of "+name] = metricsOf(t, s, name)
		require.Contains(t, places["metrics of "+name], "driftmesh_")
	}
	out, err := s.CLI(t, "login", "admin", "--tenant", "driftmesh", "--password", guess)
	require.Error(t, err)
	places["error of a login"] = out
	for where, text := range places {
		for what, secret := range planted {
			require.NotEmpty(t, secret, what)
			require.NotContains(t, text, secret, "%s shows in the %s", what, where)
		}
	}
	for what, secret := range planted {
		require.Empty(t, tablesWith(t, s, secret), "%s is stored in ClickHouse", what)
		require.Empty(t, stateWith(t, s, secret), "%s is stored in PostgreSQL", what)
	}
}

// answersTo shows a guessed token at each door.
func answersTo(t *testing.T, s *mesh.Secure, guess string) string {
	t.Helper()
	var all strings.Builder
	at := s.Addresses
	at.Token = guess
	_, err := coltracepb.NewTraceServiceClient(at.Dial(t, at.OTLPGRPC)).Export(t.Context(), someSpan("x"))
	fmt.Fprintln(&all, err)
	for _, url := range []string{s.URL(s.HTTP, "/api/v1/services"), s.URL(s.HTTP, "/jaeger/api/services"), s.URL(s.OTLPHTTP, "/v1/traces")} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+guess)
		resp, err := s.Web(t).Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Write(&all))
		require.NoError(t, resp.Body.Close())
	}
	require.Contains(t, strings.ToLower(all.String()), "unauthenticated")
	return all.String()
}

func metricsOf(t *testing.T, s *mesh.Secure, service string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL(s.Admin(service), "/metrics"), nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.AdminToken)
	resp, err := s.Web(t).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(raw)
}

// tablesWith are ClickHouse's tables that hold a text: spans of the mesh's own are
// there, and dead letters.
func tablesWith(t *testing.T, s *mesh.Secure, text string) (found []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db, err := clickhouse.Open(ctx, clickhouse.Config{URL: s.StoreURL("trace-store")})
	require.NoError(t, err)
	defer db.Close()
	var tables []struct {
		Name string `ch:"name"`
	}
	require.NoError(t, db.Select(ctx, &tables, "SELECT name FROM system.tables WHERE database = 'driftmesh' AND engine LIKE '%MergeTree'"))
	require.Greater(t, len(tables), 5)
	for _, table := range tables {
		var rows uint64
		require.NoError(t, db.QueryRow(ctx, "SELECT countIf(position(toString(tuple(*)), {text:String}) > 0) FROM `"+table.Name+"`",
			clickhouse.Named("text", text)).Scan(&rows), table.Name)
		if rows > 0 {
			found = append(found, table.Name)
		}
	}
	return found
}

// stateWith are PostgreSQL's tables that hold a text.
func stateWith(t *testing.T, s *mesh.Secure, text string) (found []string) {
	t.Helper()
	for _, schema := range []string{"auth", "drift"} {
		conn, err := pgx.Connect(t.Context(), s.StateURL(schema))
		require.NoError(t, err)
		rows, err := conn.Query(t.Context(), "SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
		require.NoError(t, err)
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.NotEmpty(t, tables)
		for _, table := range tables {
			var n int
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+"."+table+" x WHERE position($1 IN x::text) > 0", text).Scan(&n))
			if n > 0 {
				found = append(found, schema+"."+table)
			}
		}
		require.NoError(t, conn.Close(t.Context()))
	}
	return found
}
