package store_test

import (
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

func requests(n int) [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	out := make([][]byte, n)
	for i := range out {
		out[i] = tracetest.Marshal(tracetest.Realistic(rnd, 1_795_000_000_000_000_000))
	}
	return out
}

// BenchmarkDecode is wire bytes to columns, encoded as native blocks of 25,000
// rows: what trace-store does with a span, short of sending it.
func BenchmarkDecode(b *testing.B) {
	msgs := requests(64)
	cols, dec := store.NewColumns(), store.Decoder{MaxBlock: 64 << 20}
	w := proto.NewWriter(io.Discard, &proto.Buffer{})
	flush := func() {
		for _, in := range []proto.Input{cols.Spans(), cols.Index()} {
			require.NoError(b, proto.Block{Columns: len(in), Rows: cols.Rows()}.WriteBlock(w, 0, in))
			_, err := w.Flush()
			require.NoError(b, err)
		}
		cols.Reset()
	}
	run := func(i int) {
		m := store.Message{Tenant: "default", ReceivedAt: time.Unix(1, 0), Count: 100, Value: msgs[i%len(msgs)]}
		out, err := dec.Decode(&m, cols, func() error { return nil })
		require.NoError(b, err)
		require.Equal(b, 100, out.Stored)
		if cols.Rows() >= 25_000 {
			flush()
		}
	}
	for i := range 260 { // grow the columns to their size once
		run(i)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(msgs[0])))
	for i := 0; b.Loop(); i++ {
		run(i)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/span")
}
