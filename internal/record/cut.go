package record

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/fault"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
)

// batchRecords is the field number of event.v1.RecordBatch.records.
const batchRecords = 1

// Chunk is the value of one message, and which of the good records it holds.
type Chunk struct {
	Value      []byte
	Start, End int
}

// Cut encodes records that Sift has passed as RecordBatches of at most size
// bytes each, or of one record where that alone is larger.
func Cut(good []*ingestv1.Record, size int) ([]Chunk, error) {
	var chunks []Chunk
	var cur Chunk
	for i, r := range good {
		n := proto.Size(r)
		if cur.End > cur.Start && len(cur.Value)+n+protowire.SizeVarint(uint64(n))+1 > size {
			chunks = append(chunks, cur)
			cur = Chunk{Start: i}
		}
		if cur.Value == nil {
			cur.Value = make([]byte, 0, min(size, (n+8)*(len(good)-i)))
		}
		cur.Value = protowire.AppendTag(cur.Value, batchRecords, protowire.BytesType)
		cur.Value = protowire.AppendVarint(cur.Value, uint64(n))
		var err error
		if cur.Value, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(cur.Value, r); err != nil {
			return nil, fault.Internal.Wrap(err, "encode record")
		}
		cur.End = i + 1
	}
	if cur.End > cur.Start {
		chunks = append(chunks, cur)
	}
	return chunks, nil
}
