package gateway_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// TestRESTInProtobuf sends the same records as JSON's protobuf, as the SDK does.
func TestRESTInProtobuf(t *testing.T) {
	t.Parallel()
	w := start(t)
	body, err := proto.Marshal(&ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{
		wine("a", float("alcohol", 9.4)), {Id: "b", Profile: "no/such", Body: wine("", float("alcohol", 1)).GetBody()},
	}})
	require.NoError(t, err)
	head := []string{"Authorization", "Bearer " + token("acme", nil), "Content-Type", "application/x-protobuf"}
	code, headers, raw := w.request(http.MethodPost, w.http+"/api/v1/records", string(body), head...)
	require.Equal(t, http.StatusOK, code, "%s", raw)
	require.Equal(t, "application/x-protobuf", headers.Get("Content-Type"))
	var answer ingestv1.PublishRecordsResponse
	require.NoError(t, proto.Unmarshal(raw, &answer))
	require.Equal(t, uint64(1), answer.GetAccepted())
	require.Equal(t, "b", answer.GetRejections()[0].GetRecordId())
	_, records := w.published()
	require.Len(t, records, 1)
	require.Equal(t, "a", records[0].GetId())

	code, headers, raw = w.request(http.MethodPost, w.http+"/api/v1/records", "\xff", head...)
	require.Equal(t, http.StatusBadRequest, code)
	require.Equal(t, "application/json", headers.Get("Content-Type"))
	require.Contains(t, string(raw), "INVALID_ARGUMENT")

	// A stream has one message, and an end.
	stream, err := proto.Marshal(&ingestv1.StreamRecordsRequest{Records: []*ingestv1.Record{wine("c", float("alcohol", 9.4))}})
	require.NoError(t, err)
	code, _, raw = w.request(http.MethodPost, w.http+"/api/v1/records:stream", string(stream), head...)
	require.Equal(t, http.StatusOK, code, "%s", raw)
}
