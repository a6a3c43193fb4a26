package mesh_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	ledgerv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ledger/v1"
	scouterv1 "github.com/driftmesh/driftmesh/proto/scouter/grpc/v1"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// scouterClient speaks as Scouter's client does over HTTP.
type scouterClient struct {
	t     *testing.T
	m     *mesh.Mesh
	token string
	said  string // in the last answer
}

// call makes a request and decodes what is answered with 200.
func (c *scouterClient) call(verb, path string, body []byte, answer any) int {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), verb, c.m.URL(c.m.HTTP, "/scouter/"+path), bytes.NewReader(body))
	require.NoError(c.t, err)
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.m.Web(c.t).Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	c.said = string(raw)
	if resp.StatusCode == http.StatusOK && answer != nil {
		require.NoError(c.t, json.Unmarshal(raw, answer), string(raw))
	}
	return resp.StatusCode
}

func (c *scouterClient) login(username, password string) int {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.m.URL(c.m.HTTP, "/scouter/auth/login"), nil)
	require.NoError(c.t, err)
	req.Header.Set("Username", username)
	req.Header.Set("Password", password)
	resp, err := c.m.Web(c.t).Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		var in struct{ Token string }
		require.NoError(c.t, json.NewDecoder(resp.Body).Decode(&in))
		c.token = in.Token
	}
	return resp.StatusCode
}

// drift asks about the hour of the run.
func (c *scouterClient) drift(kind, uid string, answer any) {
	c.t.Helper()
	query := url.Values{"uid": {uid}, "space": {"accept"}, "time_interval": {"Custom"}, "max_data_points": {"1"},
		"start_custom_datetime": {"2026-11-26T23:00:00Z"}, "end_custom_datetime": {"2026-11-27T00:00:00.000000Z"}}
	require.Equal(c.t, http.StatusOK, c.call(http.MethodGet, "drift/"+kind+"?"+query.Encode(), nil, answer))
}

// A whole run of the published client, byte for byte as it was recorded, but for the
// uids that the mesh gives: what the application sent is what the mesh answers. Every
// message comes twice, over gRPC and over HTTP, and counts once.
func requireScouter(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	samples := filepath.Join(mesh.Root(t), "internal/scouter/testdata")
	read := func(name string) []byte {
		raw, err := os.ReadFile(filepath.Join(samples, name))
		require.NoError(t, err)
		return raw
	}
	c := &scouterClient{t: t, m: m}
	require.Equal(t, http.StatusUnauthorized, c.login("scouter-speaks/ann", "not the password"))
	require.Equal(t, http.StatusUnauthorized, c.call(http.MethodPost, "message", []byte(`{"records":[]}`), nil))
	require.Equal(t, http.StatusOK, c.login("scouter-speaks/ann", mesh.AdminPassword))

	var report struct {
		Profiles map[string]struct{ UID string }
		Sent     struct{ Records, Spans int }
		Traces   []struct {
			TraceID string `json:"trace_id"`
			Spans   []struct{ Name string }
		}
		Link struct {
			TraceID   string `json:"trace_id"`
			RecordUID string `json:"record_uid"`
		}
	}
	require.NoError(t, json.Unmarshal(read("report.json"), &report))
	given, run := map[string]string{}, string(read("run.jsonl"))
	for kind, file := range map[string]string{"spc": "spc", "psi": "psi", "custom": "custom", "eval": "genai"} {
		var made struct {
			Space, Name, Version, UID, Status string
			Active                            bool
		}
		body := read("profile-" + file + ".json")
		require.Equal(t, http.StatusOK, c.call(http.MethodPost, "profile", body, &made))
		require.Equal(t, []any{"accept", "accept-http", "0.1.0", "success", true}, []any{made.Space, made.Name, made.Version, made.Status, made.Active})
		given[kind] = made.UID
		run = strings.ReplaceAll(run, report.Profiles[kind].UID, made.UID)
		requireDownload(t, c, body, made.UID)
	}
	require.Equal(t, http.StatusOK, c.call(http.MethodPut, "profile/status", read("profile-status.json"), nil))

	// Over gRPC, and once more over HTTP.
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+c.token)
	nobody := m.Addresses
	nobody.Token = ""
	conn := nobody.Conn(t)
	in, err := scouterv1.NewAuthServiceClient(conn).Login(t.Context(), &scouterv1.LoginRequest{Username: "scouter-speaks/ann", Password: mesh.AdminPassword})
	require.NoError(t, err)
	require.Equal(t, "success", in.GetStatus())
	messages := scouterv1.NewMessageServiceClient(conn)
	for line := range strings.Lines(run) {
		took, err := messages.InsertMessage(ctx, &scouterv1.InsertMessageRequest{MessageRecord: []byte(line)})
		require.NoError(t, err)
		require.Equal(t, "success", took.GetStatus())
		require.Equal(t, http.StatusOK, c.call(http.MethodPost, "message", []byte(line), nil))
	}
	_, err = messages.InsertMessage(ctx, &scouterv1.InsertMessageRequest{MessageRecord: []byte("no JSON")})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.Contains(t, err.Error(), "Invalid message format:")

	sent := uint64(report.Sent.Records) //nolint:gosec // a hundred
	m.Account(t, "records", func(a *ledgerv1.Account) bool {
		return a.GetAccepted() == 2*sent && a.GetStored() == sent-1 && a.GetRejected()["not_finite"] == 2 && a.GetBalanced()
	})
	m.Account(t, "spans", func(a *ledgerv1.Account) bool { return a.GetStored() == uint64(report.Sent.Spans) && a.GetBalanced() }) //nolint:gosec // as above
	requireScouterDrift(t, c, given)
	for _, want := range report.Traces {
		var got struct {
			Spans []struct {
				Name string `json:"span_name"`
			}
		}
		require.Equal(t, http.StatusOK, c.call(http.MethodGet, "trace/spans?trace_id="+want.TraceID, nil, &got))
		require.Len(t, got.Spans, len(want.Spans))
	}
	var page struct {
		Items []struct {
			TraceID string `json:"trace_id"`
		}
	}
	require.Equal(t, http.StatusOK, c.call(http.MethodPost, "trace/paginated", fmt.Appendf(nil, `{"queue_uid":%q}`, report.Link.RecordUID), &page))
	require.Len(t, page.Items, 1)
	require.Equal(t, report.Link.TraceID, page.Items[0].TraceID)
	requireEvaluated(t, c, given["eval"], report.Link.RecordUID)
	require.Equal(t, http.StatusOK, c.call(http.MethodPost, "alerts", fmt.Appendf(nil, `{"uid":%q}`, given["psi"]), nil))
	require.Equal(t, http.StatusNotImplemented, c.call(http.MethodPost, "datasets/sql", []byte(`{"sql":"SELECT 1"}`), nil))
}

// requireDownload holds the profile that is given back against the one that came.
func requireDownload(t *testing.T, c *scouterClient, request []byte, uid string) {
	t.Helper()
	var asked struct {
		DriftType string `json:"drift_type"`
		Profile   string
	}
	require.NoError(t, json.Unmarshal(request, &asked))
	var want map[string]any
	require.NoError(t, json.Unmarshal([]byte(asked.Profile), &want))
	config, ok := want["config"].(map[string]any)
	require.True(t, ok)
	config["uid"] = uid
	var got map[string]map[string]any
	require.Equal(t, http.StatusOK, c.call(http.MethodGet, "profile?space=accept&name=accept-http&version=0.1.0&drift_type="+asked.DriftType, nil, &got))
	require.Equal(t, want, got[asked.DriftType])
}

// requireScouterDrift holds the answers about drift against what was sent.
func requireScouterDrift(t *testing.T, c *scouterClient, uids map[string]string) {
	t.Helper()
	hour := time.Date(2026, 11, 26, 23, 0, 0, 0, time.UTC)
	var spc struct {
		Features map[string]struct {
			CreatedAt []time.Time `json:"created_at"`
			Values    []float64
		}
	}
	c.drift("spc", uids["spc"], &spc)
	require.Equal(t, []float64{24.5}, spc.Features["temperature"].Values)
	require.Equal(t, []float64{49}, spc.Features["requests"].Values)
	require.Equal(t, []time.Time{hour}, spc.Features["requests"].CreatedAt)
	var custom struct {
		Metrics map[string]struct{ Stats []struct{ Avg float64 } }
	}
	c.drift("custom", uids["custom"], &custom)
	require.Equal(t, []float64{16.5, 0.5}, []float64{custom.Metrics["mae"].Stats[0].Avg, custom.Metrics["accuracy"].Stats[0].Avg})
	var psi struct {
		Features map[string]struct{ Bins map[string]float64 }
	}
	c.drift("psi", uids["psi"], &psi)
	// 1010 rows and the one of the span: temperature 20, requests 5, region eu.
	require.Equal(t, map[string]float64{"0": 505. / 1011, "1": 506. / 1011, "2": 0}, psi.Features["region"].Bins)
	require.InEpsilon(t, 211./1011, psi.Features["requests"].Bins["1"], 1e-12)
	require.InEpsilon(t, 201./1011, psi.Features["temperature"].Bins["3"], 1e-12)
}

// requireEvaluated holds what tasks came to against what was sent: of 27 records without
// a trace 14 greet, and the one that was put in through a span has one, which was fast.
func requireEvaluated(t *testing.T, c *scouterClient, uid, linked string) {
	t.Helper()
	page := func(of, status, cursor string) (page struct {
		Items []struct {
			UID         string `json:"uid"`
			RecordUID   string `json:"record_uid"`
			TraceID     string `json:"trace_id"`
			TotalTasks  int    `json:"total_tasks"`
			PassedTasks int    `json:"passed_tasks"`
			Context     map[string]string
		}
		HasNext    bool `json:"has_next"`
		NextCursor struct {
			CreatedAt string      `json:"created_at"`
			ID        json.Number `json:"id"`
		} `json:"next_cursor"`
	}) {
		body := fmt.Sprintf(`{"service_info":{"space":"accept","uid":%q},"status":%q,"limit":20%s}`, uid, status, cursor)
		require.Equal(t, http.StatusOK, c.call(http.MethodPost, "genai/page/"+of, []byte(body), &page), c.said)
		return page
	}
	mesh.Await(t, time.Minute, func() error {
		if p := page("record", "Pending", ""); len(p.Items) > 0 {
			return fmt.Errorf("%d records are still to be evaluated", len(p.Items))
		}
		return nil
	})
	first := page("record", "Processed", "")
	require.Len(t, first.Items, 20)
	require.True(t, first.HasNext)
	require.Equal(t, linked, first.Items[0].UID, "the newest first")
	require.Equal(t, map[string]string{"input": "linked", "output": "hello"}, first.Items[0].Context)
	next := page("workflow", "All", fmt.Sprintf(`,"cursor_created_at":%q,"cursor_id":%s`, first.NextCursor.CreatedAt, first.NextCursor.ID))
	require.Len(t, next.Items, 8)
	require.False(t, next.HasNext)
	require.Equal(t, []int{1, 1}, []int{next.Items[0].TotalTasks, page("workflow", "All", "").Items[0].PassedTasks - 1}, "without a trace there is one task to run, with one there are two")

	var drift struct {
		Metrics map[string]struct{ Stats []struct{ Avg float64 } }
	}
	c.drift("genai/workflow", uid, &drift)
	require.InDelta(t, 15./28, drift.Metrics["workflow"].Stats[0].Avg, 1e-12)
	c.drift("genai/task", uid, &drift)
	require.InDelta(t, 15./28, drift.Metrics["greets"].Stats[0].Avg, 1e-12)
	require.InDelta(t, 1, drift.Metrics["fast"].Stats[0].Avg, 0)

	var tasks struct {
		Tasks []struct {
			ID        string `json:"task_id"`
			Type      string `json:"task_type"`
			Passed    bool
			Assertion map[string]any
			Operator  string
			Actual    any
		}
		NotRun []struct{ Reason string } `json:"not_run"`
	}
	require.Equal(t, http.StatusOK, c.call(http.MethodGet, "genai/task?record_uid="+linked, nil, &tasks))
	require.Len(t, tasks.Tasks, 2)
	require.Equal(t, []any{"greets", "Assertion", true, map[string]any{"FieldPath": "output"}, "Contains", "hello"},
		[]any{tasks.Tasks[0].ID, tasks.Tasks[0].Type, tasks.Tasks[0].Passed, tasks.Tasks[0].Assertion, tasks.Tasks[0].Operator, tasks.Tasks[0].Actual})
	require.Equal(t, map[string]any{"TraceAssertion": map[string]any{"TraceDuration": map[string]any{}}}, tasks.Tasks[1].Assertion)
	require.Equal(t, http.StatusOK, c.call(http.MethodGet, "agent/task?record_uid="+next.Items[0].RecordUID, nil, &tasks))
	require.Len(t, tasks.Tasks, 1)
	require.Len(t, tasks.NotRun, 1)
	require.Contains(t, tasks.NotRun[0].Reason, "no trace")
}
