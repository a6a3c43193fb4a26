package drift_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/driftmesh/driftmesh/internal/envelope"
	"github.com/driftmesh/driftmesh/internal/event"
	eventv1 "github.com/driftmesh/driftmesh/proto/driftmesh/event/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/sdk/profile/wire"
)

// Spans of another operation of the service do not keep the feed of a profile alive.
func TestAFeedOfSpansDiesByItself(t *testing.T) {
	m := newMesh(t)
	cfg := m.quick()
	cfg.Silence = time.Hour
	r := m.runWith(cfg)
	duration := profile.Column{Name: profile.SpanDuration, Type: profile.Float, Numbers: []float64{1, 2, 3, 4, 5, 6}}
	p, err := profile.New([]profile.Column{duration}, profile.Options{
		Space: "s", Name: "pay", Source: &profile.Source{Service: "shop", Operation: "pay"}, Schedule: profile.Schedule{Cron: "*/10 * * * *"},
	})
	require.NoError(t, err)
	message := wire.Message(p)
	message.Active = true
	create(t, r, "acme", message)
	calls := 0
	call := func(operation string) {
		calls++
		now := m.clock.Now()
		const columns = "Tenant, ReceivedAt, TraceId, SpanId, SpanName, ServiceName, Timestamp, Duration"
		values := fmt.Sprintf(" VALUES ('acme', toDateTime64(%[1]d, 9), sipHash128(%[2]d, 1)::FixedString(16), reinterpretAsFixedString(toUInt64(%[2]d)), '%[3]s', 'shop', toDateTime64(%[1]d, 9), 3000000)",
			now.Unix(), calls, operation)
		for _, table := range []string{"spans", "span_index"} {
			require.NoError(t, m.db.Exec(t.Context(), "INSERT INTO "+table+" ("+columns+")"+values))
		}
		value, err := proto.Marshal(&eventv1.SpansTouched{Services: []*eventv1.ServiceMinutes{{Service: "shop", Minutes: []int64{now.Unix() / 60}}}})
		require.NoError(t, err)
		m.publish(envelope.New(event.Windows, envelope.Stamp{Tenant: "acme", Type: event.TypeSpanTimes, Count: 1, Accepted: now}, value))
		m.await(event.Windows, event.GroupDrift)
	}
	feed := func() (last int64) {
		if err := r.state.QueryRow(t.Context(), "SELECT last FROM feeds").Scan(&last); err != nil {
			return 0
		}
		return last
	}
	for i := range 7 {
		m.clock.set(noon.Add(time.Duration(i) * 10 * time.Minute))
		at := m.clock.Now().UnixMicro()
		call("pay")
		require.Eventually(t, func() bool { return feed() == at }, patience, tick)
	}
	last := feed()
	for i := 7; i < 20; i++ { // some other operation goes on
		m.clock.set(noon.Add(time.Duration(i) * 10 * time.Minute))
		call("list")
		for range 6 { // somebody listens all the time
			m.clock.set(m.clock.Now().Add(100 * time.Second))
			require.Eventually(t, func() bool { return r.watched() == m.clock.Now().UnixMicro() }, patience, tick)
		}
	}
	require.Equal(t, last, feed())
	require.Eventually(t, func() bool { return len(r.alerts("acme", true)) == 1 }, patience, tick)
	require.Equal(t, "no data since 2026-11-21T13:00:00Z", r.alerts("acme", true)[0].GetFinding())
}

// watched is when somebody listened to the feeds last.
func (r *running) watched() (seen int64) {
	require.NoError(r.t, r.state.QueryRow(r.t.Context(), "SELECT seen FROM watch WHERE id = 1").Scan(&seen))
	return seen
}

// A feed that dies is told of, and so is its return; so are evaluations that have
// too little to judge by again and again.
func TestAFeedThatDiesIsToldOf(t *testing.T) {
	m := newMesh(t)
	var console syncBuffer
	m.log = slog.New(slog.NewTextHandler(&console, nil))
	cfg := m.quick()
	cfg.Silence, cfg.Insufficient = time.Hour, 24
	r := m.runWith(cfg)
	p := create(t, r, "acme", wineProfile(t)).GetUid()
	few := func(alcohol float64) bool { return alcohol > 13.5 }
	for i := range 7 {
		m.clock.set(noon.Add(time.Duration(i) * 10 * time.Minute))
		m.store("acme", p, wineRecords(t, fmt.Sprint("a", i), noon.Unix()/60+int64(i)*10, 1, few))
	}
	said := func(text string) func() bool {
		return func() bool {
			m.clock.set(m.clock.Now().Add(20 * time.Second)) // somebody listens all the time
			return strings.Contains(console.String(), text)
		}
	}
	require.Eventually(t, said("examples/wine/0.1.0 (monitor feed) raised: no data since 2026-11-21T13:00:00Z"), patience, 3*tick)
	open := r.alerts("acme", true)
	require.Len(t, open, 1)
	require.Equal(t, "feed", open[0].GetTrigger())
	require.Equal(t, "no data since 2026-11-21T13:00:00Z", open[0].GetFinding())
	m.store("acme", p, wineRecords(t, "b", m.clock.Now().Unix()/60, 1, few))
	require.Eventually(t, said("(monitor feed) resolved: no data since 2026-11-21T13:00:00Z; data came at "), patience, 3*tick)
}
