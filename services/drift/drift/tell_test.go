package drift_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/settings"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
	"github.com/driftmesh/driftmesh/test/server/alertmanager"
)

// pager is a receiver of webhooks that keeps what it is told.
type pager struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []map[string]any
}

func newPager(t *testing.T) *pager {
	t.Helper()
	p := &pager{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		var body map[string]any
		_ = json.Unmarshal(raw, &body)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.bodies = append(p.bodies, body)
	}))
	t.Cleanup(p.Close)
	return p
}

// told are the changes that it was told of.
func (p *pager) told() (changes []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.bodies {
		changes = append(changes, b["change"].(string))
	}
	return changes
}

func (p *pager) body(i int) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bodies[i]
}

// runRouted starts a worker with routes.
func (m *mesh) runRouted(routes map[string]route.Config, names ...string) *running {
	m.t.Helper()
	cfg := m.quick()
	cfg.Routes.Value, cfg.DefaultRoutes = routes, names
	return m.runWith(cfg)
}

// raise makes a profile's alert.
func raise(t *testing.T, m *mesh, r *running) *driftv1.Alert {
	t.Helper()
	p := create(t, r, "acme", wineProfile(t))
	m.store("acme", p.GetUid(), wineRecords(t, "a", noon.Unix()/60-5, 5, strong))
	_, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: p.GetUid(), Alert: true})
	require.NoError(t, err)
	open := r.alerts("acme", true)
	require.Len(t, open, 1)
	return open[0]
}

// resolve makes the range normal again.
func resolve(t *testing.T, m *mesh, r *running, a *driftv1.Alert) {
	t.Helper()
	at := m.clock.Now().Add(time.Hour)
	m.clock.set(at)
	m.store("acme", a.GetProfile(), wineRecords(t, "b", at.Unix()/60-5, 5, all))
	_, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: a.GetProfile(), Alert: true, StartTime: timestamppb.New(at.Add(-30 * time.Minute))})
	require.NoError(t, err)
	require.Empty(t, r.alerts("acme", true))
}

func secretOf(text string) settings.Secret { return settings.Secret(text) }

func hookTo(p *pager) route.Config {
	return route.Config{Type: "webhook", URL: secretOf(p.URL), Secret: "a secret of thirty-two bytes ...."}
}

func (r *running) deliveries(tenant string, req *driftv1.ListDeliveriesRequest) []*driftv1.Delivery {
	r.t.Helper()
	resp, err := r.ListDeliveries(as(r.t, tenant), req)
	require.NoError(r.t, err)
	return resp.GetDeliveries()
}

// An alert reaches a route of its own, with numbers, pictures and links; who was
// told what can be looked up, by its tenant.
func TestAlertsReachPeople(t *testing.T) {
	m := newMesh(t)
	hook := newPager(t)
	r := m.runRouted(map[string]route.Config{"hook": hookTo(hook)}, "hook")
	a := raise(t, m, r)
	require.Equal(t, "http://127.0.0.1:8000/alerts/"+a.GetId(), a.GetPage())
	require.Eventually(t, func() bool { return len(hook.told()) == 1 }, patience, tick)
	_, err := r.AcknowledgeAlert(as(t, "acme"), &driftv1.AcknowledgeAlertRequest{Id: a.GetId()})
	require.NoError(t, err)
	resolve(t, m, r, a)
	require.Eventually(t, func() bool { return len(hook.told()) == 3 }, patience, tick)
	require.Equal(t, []string{"raised", "acknowledged", "resolved"}, hook.told())

	body := hook.body(0)
	require.Equal(t, a.GetPage(), body["alert_url"])
	require.Contains(t, body["trace_urls"].([]any)[0], "http://127.0.0.1:8000/traces/"+a.GetExemplarTraceIds()[0])
	moved := body["moved"].([]any)[0].(map[string]any)
	worst := a.GetMoved()[0]
	require.Equal(t, worst.GetFeature(), moved["feature"])
	require.InDelta(t, worst.GetValue(), moved["value"], 1e-12)
	require.InDelta(t, float64(worst.GetSample()), moved["sample"], 0)
	require.InDelta(t, float64(worst.GetReference()), moved["reference"], 0)
	bins := moved["bins"].([]any)
	require.Len(t, bins, len(worst.GetBins()))
	for i, b := range worst.GetBins() {
		require.InDelta(t, b.GetObserved(), bins[i].(map[string]any)["observed"], 1e-12)
	}
	require.Contains(t, body["details"], "alcohol  psi_scouter 15.65 against 0.1, 203 values against 800\n  reference ▃▄▁▃▃▃▃▃▂▃\n  current   ·······███  (11.4, 12]: 8.5% → 35%")
	require.Equal(t, "ada", hook.body(1)["by"])

	// What is told is written down a moment later.
	waiting := &driftv1.ListDeliveriesRequest{State: driftv1.DeliveryState_DELIVERY_STATE_WAITING}
	require.Eventually(t, func() bool { return len(r.deliveries("acme", waiting)) == 0 }, patience, tick)
	got := r.deliveries("acme", &driftv1.ListDeliveriesRequest{Alert: a.GetId()})
	require.Len(t, got, 3)
	for i, d := range got {
		require.EqualValues(t, 3-i, d.GetSequence(), "newest first")
		require.Equal(t, driftv1.DeliveryState_DELIVERY_STATE_SENT, d.GetState())
		require.Equal(t, "hook", d.GetRoute())
		require.EqualValues(t, 1, d.GetAttempts())
		require.Equal(t, hook.body(2 - i)["id"], d.GetEvent())
	}
	require.Empty(t, r.deliveries("other", &driftv1.ListDeliveriesRequest{Alert: a.GetId()}))
	var paged []string
	for token := ""; ; {
		resp, err := r.ListDeliveries(as(t, "acme"), &driftv1.ListDeliveriesRequest{PageSize: 2, PageToken: token})
		require.NoError(t, err)
		for _, d := range resp.GetDeliveries() {
			paged = append(paged, d.GetId())
		}
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	require.Len(t, paged, 3)
	require.True(t, slices.IsSortedFunc(paged, func(a, b string) int { return strings.Compare(b, a) }))
}

func (r *running) silence(s *driftv1.Silence) *driftv1.Silence {
	r.t.Helper()
	resp, err := r.CreateSilence(as(r.t, "acme"), &driftv1.CreateSilenceRequest{Silence: s})
	require.NoError(r.t, err)
	return resp.GetSilence()
}

// A silenced alert is there and told to nobody; when the silence is over and it is
// still open, it is told. Nobody hears of the end of what nobody heard of.
func TestSilences(t *testing.T) {
	m := newMesh(t)
	hook := newPager(t)
	r := m.runRouted(map[string]route.Config{"hook": hookTo(hook)}, "hook")
	until := timestamppb.New(noon.Add(time.Hour))
	r.silence(&driftv1.Silence{Space: "other", EndTime: until, Reason: "not this one"})
	s := r.silence(&driftv1.Silence{Space: "examples", Profile: "w*", Monitor: "shape", EndTime: until, Reason: "a deploy"})
	require.True(t, s.GetActive())
	require.Equal(t, "ada", s.GetCreatedBy())
	a := raise(t, m, r)
	require.Equal(t, s.GetId(), r.alerts("acme", true)[0].GetSilencedBy())
	// Slots that the jumping clock makes due may find that an alert grew; that is
	// withheld too.
	withheld := func(change string) (list []*driftv1.Delivery) {
		all := r.deliveries("acme", &driftv1.ListDeliveriesRequest{State: driftv1.DeliveryState_DELIVERY_STATE_SILENCED})
		return slices.DeleteFunc(all, func(d *driftv1.Delivery) bool { return d.GetChange() != change })
	}
	require.Eventually(t, func() bool { return len(withheld("raised")) == 1 }, patience, tick)
	require.Equal(t, "silence "+s.GetId(), withheld("raised")[0].GetError())
	require.Empty(t, hook.told())

	_, err := r.ExpireSilence(as(t, "other"), &driftv1.ExpireSilenceRequest{Id: s.GetId()})
	require.ErrorIs(t, err, fault.NotFound)
	m.clock.set(noon.Add(time.Minute))
	ended, err := r.ExpireSilence(as(t, "acme"), &driftv1.ExpireSilenceRequest{Id: s.GetId()})
	require.NoError(t, err)
	require.Equal(t, noon.Add(time.Minute), ended.GetSilence().GetExpireTime().AsTime())
	require.Equal(t, "ada", ended.GetSilence().GetExpiredBy())
	require.Eventually(t, func() bool { return len(hook.told()) == 1 }, patience, tick)
	require.Equal(t, "raised", hook.told()[0])
	require.Empty(t, r.alerts("acme", true)[0].GetSilencedBy())

	// Silenced anew, its end is told to those who heard of it.
	r.silence(&driftv1.Silence{EndTime: timestamppb.New(noon.Add(10 * time.Hour)), Reason: "everything"})
	resolve(t, m, r, a)
	require.Eventually(t, func() bool { return len(hook.told()) == 2 }, patience, tick)
	require.Equal(t, "resolved", hook.told()[1])

	// What nobody heard of may end unheard.
	m.clock.set(m.clock.Now().Add(time.Hour))
	at := m.clock.Now()
	m.store("acme", a.GetProfile(), wineRecords(t, "c", at.Unix()/60-5, 5, strong))
	_, err = r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: a.GetProfile(), Alert: true, StartTime: timestamppb.New(at.Add(-30 * time.Minute))})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(withheld("raised")) == 2 }, patience, tick)
	resolve(t, m, r, a)
	require.Eventually(t, func() bool { return len(withheld("resolved")) == 1 }, patience, tick)
	require.Len(t, hook.told(), 2)

	list, err := r.ListSilences(as(t, "acme"), &driftv1.ListSilencesRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetSilences(), 1, "those that are not over")
	list, err = r.ListSilences(as(t, "acme"), &driftv1.ListSilencesRequest{All: true, PageSize: 2})
	require.NoError(t, err)
	require.Len(t, list.GetSilences(), 2)
	require.NotEmpty(t, list.GetNextPageToken())
	list, err = r.ListSilences(as(t, "other"), &driftv1.ListSilencesRequest{All: true})
	require.NoError(t, err)
	require.Empty(t, list.GetSilences())
}

func TestBadSilencesAreRefused(t *testing.T) {
	m := newMesh(t)
	r := m.run()
	hour := timestamppb.New(noon.Add(time.Hour))
	for want, s := range map[string]*driftv1.Silence{
		"end_time must be given":      {Reason: "x"},
		"end_time must be after":      {Reason: "x", EndTime: timestamppb.New(noon)},
		"may last 400 days":           {Reason: "x", EndTime: timestamppb.New(noon.Add(401 * 24 * time.Hour))},
		"reason must be given":        {EndTime: hour, Reason: "  "},
		"reason is longer":            {EndTime: hour, Reason: strings.Repeat("x", 1001)},
		`monitor: "[a" is no pattern`: {EndTime: hour, Reason: "x", Monitor: "[a"},
		"start_time is no time":       {EndTime: hour, Reason: "x", StartTime: &timestamppb.Timestamp{Nanos: -1}},
	} {
		_, err := r.CreateSilence(as(t, "acme"), &driftv1.CreateSilenceRequest{Silence: s})
		require.ErrorIs(t, err, fault.Invalid, want)
		require.ErrorContains(t, err, want)
	}
	_, err := r.CreateSilence(t.Context(), &driftv1.CreateSilenceRequest{})
	require.ErrorIs(t, err, fault.Unauthenticated)
	_, err = r.ListDeliveries(as(t, "acme"), &driftv1.ListDeliveriesRequest{State: 99})
	require.ErrorIs(t, err, fault.Invalid)
}

// The service keeps a real Alertmanager, which begins anew with nothing, informed
// of what is open, and of its end.
func TestAlertmanagerIsKeptInformed(t *testing.T) {
	server := alertmanager.Start(t)
	m := newMesh(t)
	m.clock.set(time.Now().Add(-2 * time.Hour)) // Alertmanager goes by its own: all that is told is past
	r := m.runRouted(map[string]route.Config{"am": {Type: "alertmanager", URL: secretOf(server.URL()), Refresh: time.Second, Expire: 4 * time.Hour}}, "am")
	firing := func() []alertmanager.Alert {
		alerts, err := server.Alerts(t.Context())
		require.NoError(t, err)
		return alerts
	}
	p := create(t, r, "acme", wineProfile(t))
	m.store("acme", p.GetUid(), wineRecords(t, "a", m.clock.Now().Unix()/60-5, 5, strong))
	_, err := r.Evaluate(as(t, "acme"), &driftv1.EvaluateRequest{Profile: p.GetUid(), Alert: true})
	require.NoError(t, err)
	open := r.alerts("acme", true)
	require.Eventually(t, func() bool { return len(firing()) == 1 }, patience, tick)
	require.Equal(t, open[0].GetId(), firing()[0].Labels["alert_id"])
	server.Kill()
	server.Restart()
	require.Empty(t, firing())
	m.clock.set(m.clock.Now().Add(2 * time.Minute)) // long enough also after a failure
	require.Eventually(t, func() bool { return len(firing()) == 1 }, patience, tick, "there was nothing new to tell")
	resolve(t, m, r, open[0])
	require.Eventually(t, func() bool { return len(firing()) == 0 }, patience, tick)
	m.clock.set(m.clock.Now().Add(2 * time.Minute))
	require.Never(t, func() bool { // the last look may end after the test does
		alerts, err := server.Alerts(t.Context())
		return err == nil && len(alerts) > 0
	}, 200*time.Millisecond, tick)
}
