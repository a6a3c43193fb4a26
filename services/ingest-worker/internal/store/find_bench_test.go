package store_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/normalize"
	"github.com/driftmesh/driftmesh/services/ingest-worker/internal/store"
)

// BenchmarkTrace is the way from a trace to its records among a million of one
// profile, five in each trace, and what the index that shortens it costs.
func BenchmarkTrace(b *testing.B) {
	const blocks, perBlock, perTrace = 20, 50_000, 5
	for _, index := range []bool{true, false} {
		b.Run(fmt.Sprintf("index=%v", index), func(b *testing.B) {
			db, s := open(b)
			if !index {
				require.NoError(b, db.Exec(b.Context(), "ALTER TABLE observations DROP INDEX trace"))
			}
			random := rand.New(rand.NewPCG(1, 2))
			var trace [16]byte
			began := time.Now()
			for k := range blocks {
				block := store.NewBlock(roomy)
				block.Begin(message("bench", fmt.Sprint("m", k), uint64(k)))
				for i := range perBlock {
					if i%perTrace == 0 {
						binary.LittleEndian.PutUint64(trace[:], random.Uint64())
						binary.LittleEndian.PutUint64(trace[8:], random.Uint64())
					}
					r := row(wine, uuid.NewString(), k*perBlock/1000+i/1000, random.Float64())
					r.TraceID, r.SpanID = trace, [8]byte{byte(i), 1}
					r.Body = normalize.Features
					block.Row(&r)
				}
				block.End()
				require.NoError(b, s.Write(b.Context(), block))
			}
			b.Logf("%d records stored in %v", blocks*perBlock, time.Since(began))
			q := store.Search{Tenant: "bench", Trace: hex.EncodeToString(trace[:]), Profiles: []uuid.UUID{wine}}
			for b.Loop() {
				uids, err := s.ProfilesOf(b.Context(), "bench", q.Trace, 100)
				require.NoError(b, err)
				require.Len(b, uids, 1)
				names, err := s.Find(b.Context(), q, nil, 51)
				require.NoError(b, err)
				require.Len(b, names, perTrace)
				stored, err := s.Load(b.Context(), "bench", names)
				require.NoError(b, err)
				require.Len(b, stored, perTrace)
			}
			var disk, secondary uint64
			require.NoError(b, db.QueryRow(b.Context(), "SELECT sum(bytes_on_disk), sum(secondary_indices_compressed_bytes) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'observations'").Scan(&disk, &secondary))
			b.ReportMetric(float64(disk)/(blocks*perBlock), "disk_bytes/record")
			b.ReportMetric(float64(secondary)/(blocks*perBlock), "index_bytes/record")
		})
	}
}
