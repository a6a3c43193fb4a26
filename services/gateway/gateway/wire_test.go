package gateway_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

func field(num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), value)
}

func TestInvalidUTF8HurtsOnlyItsRecord(t *testing.T) {
	t.Parallel()
	w := start(t)
	good, err := proto.Marshal(wine("good", float("alcohol", 1)))
	require.NoError(t, err)
	feature := append(field(1, []byte("colour")), field(4, []byte("r\xffd"))...)
	bad := append(field(1, []byte("bad")), append(field(3, []byte("wine/red")), field(10, field(1, feature))...)...)
	request := append(append(field(1, good), field(1, bad)...), field(1, good)...)
	var raw []byte
	err = w.conn().Invoke(as(t, "acme"), ingestv1.IngestService_PublishRecords_FullMethodName, &request, &raw, grpc.ForceCodec(rawBytes{}))
	require.NoError(t, err)
	var resp ingestv1.PublishRecordsResponse
	require.NoError(t, proto.Unmarshal(raw, &resp))
	require.Equal(t, uint64(1), resp.GetAccepted())
	require.Len(t, resp.GetRejections(), 2)
	require.Equal(t, uint32(1), resp.GetRejections()[0].GetIndex())
	require.Equal(t, "features.values[0].string", resp.GetRejections()[0].GetField())
	require.Equal(t, "invalid_utf8", resp.GetRejections()[0].GetReason())
	require.Equal(t, "duplicate_id", resp.GetRejections()[1].GetReason())
	_, records := w.published()
	require.Len(t, records, 1)
}

func TestTruncatedMessageOfAStreamIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	stream, err := w.conn().NewStream(as(t, "acme"), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		ingestv1.IngestService_ExchangeRecords_FullMethodName, grpc.ForceCodec(rawBytes{}))
	require.NoError(t, err)
	garbage := []byte{0x12, 0x7f, 0x01}
	require.NoError(t, stream.SendMsg(&garbage))
	err = stream.RecvMsg(new([]byte))
	require.Equal(t, codes.InvalidArgument, status.Code(err), err)
}

func TestABatchNamesAFewProfiles(t *testing.T) {
	t.Parallel()
	w := start(t)
	var batch []*ingestv1.Record
	for i := range 300 {
		r := wine("", float("alcohol", 1))
		r.Profile = fmt.Sprintf("wine/red/%d", i)
		batch = append(batch, r)
	}
	resp, err := w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: batch})
	require.NoError(t, err)
	require.Equal(t, uint64(256), resp.GetAccepted())
	require.Equal(t, uint64(44), resp.GetRejected())
	require.Equal(t, "too_many_profiles", resp.GetRejections()[0].GetReason())
}
