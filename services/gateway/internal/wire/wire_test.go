package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/salvage"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/gateway/internal/wire"
)

func decode(raw []byte, m proto.Message) error {
	return wire.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, m)
}

func bytesField(num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), value)
}

func TestBadTextSparesItsNeighbours(t *testing.T) {
	t.Parallel()
	good, err := proto.Marshal(&ingestv1.Record{Id: "a", Profile: "p"})
	require.NoError(t, err)
	feature := append(bytesField(1, []byte("colour")), bytesField(4, []byte("\xff\xfe"))...)
	bad := append(bytesField(1, []byte("b")), bytesField(10, append(bytesField(1, bytesField(1, []byte("fine"))), bytesField(1, feature)...))...)
	raw := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7)
	raw = append(raw, bytesField(2, good)...)
	raw = append(raw, bytesField(2, bad)...)
	raw = append(raw, bytesField(2, good)...)

	var req ingestv1.ExchangeRecordsRequest
	require.NoError(t, decode(raw, &req))
	require.Equal(t, uint64(7), req.GetBatchId())
	require.Len(t, req.GetRecords(), 3)
	require.Equal(t, "a", req.GetRecords()[0].GetId())
	require.Equal(t, "a", req.GetRecords()[2].GetId())
	_, is := salvage.Badness(&req)
	require.False(t, is)
	_, is = salvage.Badness(req.GetRecords()[0])
	require.False(t, is)
	got, is := salvage.Badness(req.GetRecords()[1])
	require.True(t, is)
	require.Equal(t, salvage.Bad{
		Field: "features.values[1].string", Rule: salvage.RuleUTF8, Message: "the text is not valid UTF-8",
	}, got)
}

func TestFramesPassUntouched(t *testing.T) {
	t.Parallel()
	in := []byte{0x0a, 0x7f, 1}
	var f wire.Frame
	require.NoError(t, wire.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(in)}, &f))
	out, err := wire.Codec{}.Marshal(&f)
	require.NoError(t, err)
	require.Equal(t, in, out.Materialize())
}
