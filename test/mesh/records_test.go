package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// sendJoined sends a trace with two records and a failure in it, and a record outside
// of any. It gives the trace's id.
func sendJoined(t *testing.T, m *mesh.Mesh) (trace string) {
	t.Helper()
	lines := []string{"amount"}
	for i := range 70 {
		lines = append(lines, strconv.Itoa(i%7))
	}
	path := filepath.Join(t.TempDir(), "reference.csv")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	m.MustCLI(t, "profile", "create", "--reference", path, "--name", "joined", "--features", "amount")

	client, err := sdk.New(m.GRPC, sdk.WithToken(m.Token), sdk.WithServiceName("joiner"))
	require.NoError(t, err)
	queue, err := client.OpenQueue(t.Context(), map[string]string{"amounts": "default/joined"})
	require.NoError(t, err)
	require.Equal(t, "default/joined/0.1.0", queue.For("amounts").Profile())
	in := sdk.InProvider(client.TracerProvider())
	ctx, span := sdk.Start(t.Context(), "the joined span", in, sdk.TraceTag("customer", "c-4711"), sdk.Input(map[string]int{"amount": 3}))
	require.NoError(t, queue.For("amounts").InsertAs(ctx, "r 1", time.Time{}, sdk.Int("amount", 3)))
	require.NoError(t, span.InsertInto(queue, "amounts", sdk.Int("amount", 4)))
	_, err = sdk.Do(ctx, "what failed", func(context.Context) (int, error) { return 0, errors.Join(errors.New("first"), errors.New("second")) }, in)
	require.Error(t, err)
	span.End()
	require.NoError(t, queue.For("amounts").InsertAs(t.Context(), "alone", time.Time{}, sdk.Int("amount", 5)))
	require.ErrorContains(t, queue.For("amounts").Insert(ctx, sdk.String("amount", "much")), "type_mismatch")
	require.NoError(t, client.Shutdown(t.Context()), "nothing was lost, nothing refused")
	trace, _ = span.ID()
	return trace
}

// A trace leads to the records that were sent in it, a record to its trace, by
// REST and on the command line, and no tenant to another's.
func requireTracesAndRecords(t *testing.T, m *mesh.Mesh) {
	t.Helper()
	trace := sendJoined(t, m)
	var got recordv1.ListRecordsResponse
	records := func(m *mesh.Mesh, args ...string) []string {
		t.Helper()
		var ids []string
		got.Reset()
		require.NoError(t, protojson.Unmarshal([]byte(m.MustCLI(t, append([]string{"records", "list", "-o", "json"}, args...)...)), &got))
		for _, r := range got.GetRecords() {
			ids = append(ids, r.GetRecord().GetId())
		}
		return ids
	}
	mesh.Await(t, time.Minute, func() error {
		if ids := records(m, "--trace", trace); len(ids) != 2 {
			return fmt.Errorf("the trace has the records %v", ids)
		}
		return nil
	})
	sum := int64(0)
	for _, r := range got.GetRecords() {
		sum += r.GetRecord().GetFeatures().GetValues()[0].GetInt()
	}
	require.EqualValues(t, 7, sum)
	require.Equal(t, []string{"r 1"}, records(m, "--profile", "default/joined", "--record", "r 1"))
	require.Equal(t, trace, got.GetRecords()[0].GetTraceId())
	require.Equal(t, "default/joined/0.1.0", got.GetRecords()[0].GetProfileName())
	require.Len(t, records(m, "--trace", trace, "--limit", "1"), 1)
	require.Len(t, records(m, "--trace", trace, "--page-token", got.GetNextPageToken()), 1)
	var answer struct{ Records []map[string]any }
	require.Equal(t, http.StatusOK, m.Get(t, "/api/v1/records?trace_id="+trace, &answer))
	require.Len(t, answer.Records, 2)

	// Spans are stored by another worker than records are.
	mesh.Await(t, time.Minute, func() error {
		out, err := m.CLI(t, "traces", "show", "--record", "r 1", "--profile", "default/joined", "--records")
		if err != nil || !strings.Contains(out, "the joined span") || !strings.Contains(out, "what failed") {
			return fmt.Errorf("%w: %s", err, out)
		}
		for _, want := range []string{
			"record: default/joined/0.1.0 r 1 features: amount=3", "features: amount=4", "driftmesh.record.inserted", `driftmesh.input: {"amount":3}`,
			"status: error: first", `{"type":"*errors.errorString","message":"second"}`,
		} {
			require.Contains(t, out, want)
		}
		require.Equal(t, 2, strings.Count(out, "driftmesh.tag.customer: c-4711"), "of the span and the one below")
		return nil
	})
	require.Contains(t, m.MustCLI(t, "traces", "search", "--service", "joiner", "--tag", "driftmesh.tag.customer=c-4711"), trace, "tags are looked for")
	out, err := m.CLI(t, "traces", "show", "--record", "alone", "--profile", "default/joined")
	require.Error(t, err)
	require.Contains(t, out, "was sent outside any trace")

	nobody := *m
	nobody.Token = ""
	other := nobody.Tenant(t, "traces-and-no-records")
	require.Empty(t, records(other, "--trace", trace))
	out, err = other.CLI(t, "records", "list", "--profile", "default/joined", "--record", "r 1")
	require.Error(t, err)
	require.NotContains(t, out, trace)
}
