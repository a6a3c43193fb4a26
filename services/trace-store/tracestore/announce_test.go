package tracestore_test

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
)

// minutesOf says when the stored spans of each service begin, as far as a window
// can be.
func (m *mesh) minutesOf(tenant string) map[string][]int64 {
	m.t.Helper()
	rows, err := m.db.Query(m.t.Context(), `SELECT ServiceName, arraySort(groupUniqArray(intDiv(toUnixTimestamp64Nano(Timestamp), 60000000000) AS minute))
		FROM span_index WHERE Tenant = {tenant:String} AND minute BETWEEN 0 AND 71582788 GROUP BY ServiceName`, clickhouse.Named("tenant", tenant))
	require.NoError(m.t, err)
	all := map[string][]int64{}
	for rows.Next() {
		var service string
		var minutes []int64
		require.NoError(m.t, rows.Scan(&service, &minutes))
		all[service] = minutes
	}
	require.NoError(m.t, rows.Err())
	require.NoError(m.t, rows.Close())
	return all
}

// Others hear when spans of which services began, once these are stored.
func TestStoredSpansAreAnnounced(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	data, spans := random(20, 5)
	for _, d := range data {
		m.publish(m.message("acme", d))
	}
	other, few := random(1, 6)
	m.publish(m.message("other", other[0]))
	r.written("acme", len(spans))
	r.written("other", len(few))

	consumer, err := m.broker.Consumer(broker.ConsumerConfig{
		Topic: event.Windows, Group: event.GroupDrift, Member: "test", MaxMessages: 100, MaxBytes: 1 << 20, Linger: 10 * time.Millisecond,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, consumer.Close(context.Background())) })
	heard := map[string]map[string][]int64{"acme": {}, "other": {}}
	want := map[string]map[string][]int64{"acme": m.minutesOf("acme"), "other": m.minutesOf("other")}
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		batch, err := consumer.Receive(ctx)
		if err != nil {
			return false
		}
		for i := range batch.Deliveries {
			d := &batch.Deliveries[i]
			stamp := envelope.Of(&d.Message)
			require.Equal(t, event.TypeSpanTimes, stamp.Type)
			var value eventv1.SpansTouched
			require.NoError(t, proto.Unmarshal(d.Value, &value))
			n := 0
			for _, s := range value.GetServices() {
				all := append(heard[stamp.Tenant][s.GetService()], s.GetMinutes()...)
				slices.Sort(all)
				heard[stamp.Tenant][s.GetService()] = slices.Compact(all)
				n += len(s.GetMinutes())
			}
			require.Equal(t, n, stamp.Count)
		}
		require.NoError(t, batch.Ack(t.Context()))
		return reflect.DeepEqual(want, heard)
	}, patience, tick)
}
