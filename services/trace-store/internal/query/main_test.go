package query_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
	"github.com/driftmesh/driftmesh/internal/schema"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/query"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/store"
	"github.com/driftmesh/driftmesh/services/trace-store/internal/tracetest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// fixture is a store of a test's own.
type fixture struct {
	t      testing.TB
	db     *clickhouse.DB
	writer *store.Writer
	reader *query.Reader
	sent   int
}

func setup(t testing.TB, limits query.Limits) *fixture {
	t.Helper()
	db := clickhousetest.Open(t)
	migrate(t, db)
	return &fixture{t: t, db: db, writer: store.NewWriter(db, store.WriterConfig{}), reader: query.New(db, limits)}
}

func migrate(t testing.TB, db *clickhouse.DB) {
	t.Helper()
	require.NoError(t, db.Migrate(t.Context(), schema.SpansOwner, schema.Spans()))
}

// message is data as the broker would deliver it.
func (f *fixture) message(tenant string, data *tracev1.TracesData) store.Message {
	f.sent++
	return store.Message{
		ID: fmt.Sprintf("message-%d", f.sent), Tenant: tenant, ReceivedAt: time.Unix(1_795_000_000, int64(f.sent)),
		Count: len(tracetest.Canonical(data)), Instance: "door", Seq: uint64(f.sent), Value: tracetest.Marshal(data),
	}
}

func (f *fixture) write(msgs ...store.Message) []store.Entry {
	f.t.Helper()
	entries, err := f.writer.Write(f.t.Context(), msgs)
	require.NoError(f.t, err)
	return entries
}

// trace reads a whole trace back.
func (f *fixture) trace(tenant string, id []byte) *tracev1.TracesData {
	f.t.Helper()
	out := &tracev1.TracesData{}
	err := f.reader.Trace(context.Background(), tenant, query.TraceID(id), func(p query.Part) error {
		part := &tracev1.TracesData{}
		require.NoError(f.t, proto.Unmarshal(p.Traces, part))
		require.Len(f.t, tracetest.Canonical(proto.CloneOf(part)), p.Spans)
		out.ResourceSpans = append(out.ResourceSpans, part.ResourceSpans...)
		return nil
	})
	require.NoError(f.t, err)
	return out
}

func traceIDs(all []*tracev1.ResourceSpans) [][]byte {
	var ids [][]byte
	for _, rs := range all {
		ids = append(ids, rs.ScopeSpans[0].Spans[0].TraceId)
	}
	slices.SortFunc(ids, func(a, b []byte) int { return cmp.Compare(string(a), string(b)) })
	return slices.CompactFunc(ids, func(a, b []byte) bool { return string(a) == string(b) })
}
