package normalize_test

import (
	"math"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
)

// FuzzBatch holds the decoder against the generated code: what that reads, the
// decoder reads as the same records; what that refuses, the decoder may reject
// record by record. Nothing panics, and every record has exactly one fate.
func FuzzBatch(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte{0x0a, 0x00})
	f.Add(encode(f, features(float("acid", 1), text("colour", "red")), metrics(&ingestv1.Metric{Name: "a", Value: 1}), context("{}")))
	f.Add(encode(f, features(integer("age", -1), boolean("organic", true), missing("acid"))))
	f.Add(frame([]byte{0x0a, 0x01, 0xff}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b normalize.Batch
		decoded := b.Decode(raw) == nil
		var want eventv1.RecordBatch
		readable := proto.Unmarshal(raw, &want) == nil
		if !decoded {
			require.False(t, readable && len(want.Records) > 0, "the generated code reads %d records", len(want.Records))
			return
		}
		out := run(t, raw)
		if !readable {
			return
		}
		require.Equal(t, len(want.Records), b.Len())
		next := 0
		for i, r := range want.Records {
			if reason, bad := out.rejected[i]; bad {
				require.NotContains(t, []normalize.Reason{normalize.Malformed, normalize.InvalidUTF8}, reason, "record %d", i)
				continue
			}
			compare(t, r, &out.rows[next])
			next++
		}
	})
}

func compare(t *testing.T, r *ingestv1.Record, row *normalize.Row) {
	require.Equal(t, uuid.MustParse(r.Profile), row.Profile)
	if r.Id != "" {
		require.Equal(t, r.Id, string(row.ID))
	}
	require.True(t, utf8.Valid(row.ID))
	if r.EventTime != nil {
		require.Equal(t, r.EventTime.AsTime().UnixNano(), row.EventTime)
	}
	switch body := r.Body.(type) {
	case *ingestv1.Record_Features:
		require.Equal(t, normalize.Features, row.Body)
		compareFeatures(t, body.Features, row)
	case *ingestv1.Record_Labels:
		require.Equal(t, normalize.Labels, row.Body)
		compareFeatures(t, body.Labels, row)
	case *ingestv1.Record_Metrics:
		require.Equal(t, normalize.Metrics, row.Body)
		require.Len(t, row.Names, len(body.Metrics.Values))
	case *ingestv1.Record_Context:
		require.Equal(t, body.Context.Json, string(row.JSON))
	}
}

func compareFeatures(t *testing.T, f *ingestv1.Features, row *normalize.Row) {
	var acid *ingestv1.Feature
	for _, v := range f.Values {
		if v.Name == "acid" {
			acid = v
		}
	}
	switch v := acid.GetValue().(type) {
	case *ingestv1.Feature_Float:
		if math.IsNaN(v.Float) {
			require.Equal(t, normalize.NaN, row.NumberStates[0])
			return
		}
		require.Equal(t, math.Float64bits(v.Float), math.Float64bits(row.Numbers[0]))
	case *ingestv1.Feature_Int:
		require.Equal(t, math.Float64bits(float64(v.Int)), math.Float64bits(row.Numbers[0]))
	default:
		require.Equal(t, normalize.Missing, row.NumberStates[0])
	}
}
