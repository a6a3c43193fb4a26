package gateway_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/identity"
	"github.com/driftmesh/driftmesh/internal/policy"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	recordv1 "github.com/driftmesh/driftmesh/proto/driftmesh/record/v1"
)

// fakeRecords has one record of each trace for each tenant.
type fakeRecords struct {
	recordv1.UnimplementedRecordServiceServer
}

func (*fakeRecords) ListRecords(ctx context.Context, req *recordv1.ListRecordsRequest) (*recordv1.ListRecordsResponse, error) {
	tenant, err := identity.Tenant(ctx)
	return &recordv1.ListRecordsResponse{Records: []*recordv1.StoredRecord{
		{Record: &ingestv1.Record{Id: "record-of-" + tenant}, TraceId: req.GetTraceId(), SpanId: req.GetSpanId()},
	}}, err
}

func TestRecordsOfATraceOverREST(t *testing.T) {
	t.Parallel()
	w := start(t, anonymous)
	code, _, raw := w.request(http.MethodGet, w.http+"/api/v1/records?trace_id=abc&span_id=def&page_size=3", "")
	require.Equal(t, http.StatusOK, code, string(raw))
	list := parsed[struct {
		Records []struct {
			Record  struct{ ID string }
			TraceID string `json:"trace_id"`
			SpanID  string `json:"span_id"`
		}
	}](t, raw)
	require.Equal(t, "record-of-default", list.Records[0].Record.ID)
	require.Equal(t, "abc", list.Records[0].TraceID)
	require.Equal(t, "def", list.Records[0].SpanID)

	resp, err := recordv1.NewRecordServiceClient(w.conn()).ListRecords(asRole(t, "acme", policy.Viewer), &recordv1.ListRecordsRequest{TraceId: "abc"})
	require.NoError(t, err)
	require.Equal(t, "record-of-acme", resp.GetRecords()[0].GetRecord().GetId())
}
