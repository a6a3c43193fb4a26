package salvage_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/salvage"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

func bytesField(num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), value)
}

func TestCheckNamesFieldAndRule(t *testing.T) {
	t.Parallel()
	kind := (&ingestv1.TailRequest{}).ProtoReflect().Type()
	require.NoError(t, salvage.Check(bytesField(3, []byte("shop")), kind))
	err := salvage.Check(bytesField(3, []byte("\xff")), kind)
	require.ErrorIs(t, err, fault.Invalid)
	require.ErrorContains(t, err, "service: the text is not valid UTF-8")
}

func TestUnreadableRequestIsMarked(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		raw  []byte
		into proto.Message
		want salvage.Bad
	}{
		"truncated": {
			raw: []byte{0x0a, 0x7f, 1}, into: &ingestv1.PublishRecordsRequest{},
			want: salvage.Bad{Rule: salvage.RuleMalformed, Message: "the message is truncated or malformed"},
		},
		"text of the request itself": {
			raw: bytesField(3, []byte("\xff")), into: &ingestv1.TailRequest{},
			want: salvage.Bad{Field: "service", Rule: salvage.RuleUTF8, Message: "the text is not valid UTF-8"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			salvage.Unmarshal(tt.raw, tt.into)
			got, is := salvage.Badness(tt.into)
			require.True(t, is)
			require.Equal(t, tt.want, got)
		})
	}
}

func FuzzUnmarshal(f *testing.F) {
	good, _ := proto.Marshal(&ingestv1.ExchangeRecordsRequest{BatchId: 1, Records: []*ingestv1.Record{{Id: "a"}}})
	f.Add(good)
	f.Add([]byte{0x0a, 0x7f, 1})
	f.Add(bytesField(2, bytesField(1, []byte("\xff"))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var lenient, strict ingestv1.ExchangeRecordsRequest
		salvage.Unmarshal(raw, &lenient)
		if proto.Unmarshal(raw, &strict) == nil {
			require.True(t, proto.Equal(&strict, &lenient))
		}
	})
}
