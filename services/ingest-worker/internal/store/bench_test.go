package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/store"
)

// Sixteen numbers and four categories, of which one in fifty is missing.
const (
	benchNumbers    = 16
	benchCategories = 4
	perMessage      = 500
)

func benchProfile(b *testing.B) *normalize.Profile {
	var features []normalize.Feature
	for i := range benchNumbers {
		features = append(features, normalize.Feature{Name: fmt.Sprint("number_", i), Kind: normalize.Numeric, Type: "float"})
	}
	for i := range benchCategories {
		features = append(features, normalize.Feature{Name: fmt.Sprint("category_", i), Kind: normalize.Category, Type: "string"})
	}
	p, err := normalize.NewProfile(normalize.Features, wine, features)
	require.NoError(b, err)
	return p
}

// benchMessages are the values of n messages of perMessage records each.
func benchMessages(b *testing.B, n int) [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([][]byte, n)
	at := start
	for m := range out {
		batch := &eventv1.RecordBatch{}
		for range perMessage {
			at = at.Add(time.Millisecond)
			f := &ingestv1.Features{}
			for i := range benchNumbers {
				v := &ingestv1.Feature{Name: fmt.Sprint("number_", i), Value: &ingestv1.Feature_Float{Float: rng.NormFloat64()}}
				if rng.IntN(50) == 0 {
					v.Value = &ingestv1.Feature_Missing{Missing: &ingestv1.Missing{}}
				}
				f.Values = append(f.Values, v)
			}
			for i := range benchCategories {
				f.Values = append(f.Values, &ingestv1.Feature{
					Name: fmt.Sprint("category_", i), Value: &ingestv1.Feature_String_{String_: fmt.Sprint("value ", rng.IntN(20))},
				})
			}
			id, err := uuid.NewV7()
			require.NoError(b, err)
			batch.Records = append(batch.Records, &ingestv1.Record{
				Id: id.String(), Profile: wine.String(), EventTime: timestamppb.New(at), Body: &ingestv1.Record_Features{Features: f},
			})
		}
		raw, err := proto.Marshal(batch)
		require.NoError(b, err)
		out[m] = raw
	}
	return out
}

func gather(b *testing.B, block *store.Block, batch *normalize.Batch, p *normalize.Profile, raw []byte, id string) {
	if err := batch.Decode(raw); err != nil {
		b.Fatal(err)
	}
	m := message("bench", id, 1)
	block.Begin(m)
	batch.Rows(0, normalize.Origin{MessageID: id, Accepted: start}, func(uuid.UUID) *normalize.Profile { return p }, block)
	block.End()
}

// BenchmarkGather is the way from bytes to columns.
func BenchmarkGather(b *testing.B) {
	p, msgs := benchProfile(b), benchMessages(b, 20)
	block, batch := store.NewBlock(roomy), &normalize.Batch{}
	n, bytes := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		if n%100 == 0 {
			block.Reset()
		}
		raw := msgs[n%len(msgs)]
		gather(b, block, batch, p, raw, "m")
		bytes += len(raw)
		n++
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(n*perMessage)*1e6, "s/Mrecords")
	b.ReportMetric(float64(bytes)/float64(n*perMessage), "bytes/record")
}

// BenchmarkInsert is the whole way from bytes to stored rows, in blocks of
// 50,000 records; bytes on disk are after merging.
func BenchmarkInsert(b *testing.B) {
	db, s := open(b)
	p, msgs := benchProfile(b), benchMessages(b, 100)
	block, batch := store.NewBlock(roomy), &normalize.Batch{}
	blocks := 0
	for b.Loop() {
		block.Reset()
		for i, raw := range msgs {
			gather(b, block, batch, p, raw, fmt.Sprint(blocks, "-", i))
		}
		if err := s.Write(b.Context(), block); err != nil {
			b.Fatal(err)
		}
		blocks++
	}
	records := float64(blocks * len(msgs) * perMessage)
	b.ReportMetric(b.Elapsed().Seconds()/records*1e6, "s/Mrecords")
	var disk, rows uint64
	for _, table := range []string{"observations", "observation_ids"} {
		require.NoError(b, db.Exec(b.Context(), "OPTIMIZE TABLE "+table+" FINAL"))
		require.NoError(b, db.QueryRow(b.Context(),
			"SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND database = currentDatabase() AND table = '"+table+"'").Scan(&disk, &rows))
		b.ReportMetric(float64(disk)/float64(rows), "disk_bytes/"+table)
	}
}
