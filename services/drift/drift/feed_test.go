package drift_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
