package rest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/driftmesh/driftmesh/internal/fault"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// quiet is a live tail in which nothing arrives until it breaks.
type quiet struct {
	ingestv1.IngestServiceClient
	grpc.ServerStreamingClient[ingestv1.TailResponse]
	first []*ingestv1.TailResponse
	last  time.Duration
}

func (q *quiet) Tail(context.Context, *ingestv1.TailRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[ingestv1.TailResponse], error) {
	return q, nil
}

func (*quiet) Header() (metadata.MD, error) {
	return metadata.Pairs("content-type", "application/grpc"), nil
}

func (q *quiet) Recv() (*ingestv1.TailResponse, error) {
	if len(q.first) > 0 {
		m := q.first[0]
		q.first = q.first[1:]
		return m, nil
	}
	time.Sleep(q.last) // of a synctest bubble
	return nil, fault.Unavailable.New("the view has ended")
}

// TestTailEventsBeat: while nothing arrives a beat says so, with what was missed, and
// the last event why there is no more.
func TestTailEventsBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := httptest.NewRecorder()
		q := &quiet{last: 3*heartbeat + time.Second, first: []*ingestv1.TailResponse{
			{Item: &ingestv1.TailResponse_OtlpTraces{OtlpTraces: []byte("\xff no protobuf")}, Missed: 2},
			{Item: &ingestv1.TailResponse_Record{Record: &ingestv1.Record{Id: "line\nbreak"}}, Missed: 7},
		}}
		tailEvents(q)(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/tail/events?signal=SIGNAL_RECORDS", nil))
		require.Equal(t, strings.Join([]string{
			"event: beat", `data: {"missed":0}`, "",
			"event: record", `data: {"missed":7,"record":{"id":"line\nbreak"}}`, "",
			"event: beat", `data: {"missed":7}`, "", "event: beat", `data: {"missed":7}`, "", "event: beat", `data: {"missed":7}`, "",
			"event: end", `data: {"code":"UNAVAILABLE","message":"the view has ended","details":[]}`, "", "",
		}, "\n"), w.Body.String())
		require.True(t, w.Flushed)
	})
}
