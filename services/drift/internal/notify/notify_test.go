package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/sqlstate"
	"github.com/driftmesh/driftmesh/internal/sqlstate/sqltest"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/notify"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
	"github.com/driftmesh/driftmesh/services/drift/internal/store"
	testserver "github.com/driftmesh/driftmesh/test/server"
)

// childEnv marks a process that is a courier to be killed.
const childEnv = "DRIFTMESH_TEST_COURIER"

func TestMain(m *testing.M) {
	testserver.Child(childEnv, courierProcess)
	os.Exit(sqltest.Main(m))
}

const (
	patience = 30 * time.Second
	tick     = 10 * time.Millisecond
	key      = "a secret of thirty-two bytes ...."
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests turn.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) turn(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// counts implements notify.Metrics.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

func (c *counts) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[what]++
}

func (c *counts) Settled(route string, state alert.State) { c.add(route + " " + string(state)) }
func (c *counts) Retried(route string)                    { c.add(route + " retried") }

// hook is a webhook's receiver: a real server that answers as told and keeps what
// it has taken, as alert/change.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request, body []byte) bool // whether it is taken
	taken  []string
	ids    []string
	asked  int
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		h.asked++
		answer := h.answer
		h.mu.Unlock()
		if answer != nil && !answer(w, r, body) {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ids = append(h.ids, r.Header.Get("webhook-id"))
		h.taken = append(h.taken, field(body, "alert_id")+" "+field(body, "change"))
	}))
	t.Cleanup(h.Close)
	return h
}

func field(body []byte, name string) string {
	_, rest, _ := bytes.Cut(body, []byte(`"`+name+`":"`))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

func (h *hook) told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.taken)
}

func (h *hook) times() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

func (h *hook) does(answer func(w http.ResponseWriter, r *http.Request, body []byte) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

func refuse(status int, header ...string) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "not now")
		return false
	}
}

// desk is a dispatcher and the couriers of some hooks.
type desk struct {
	t        *testing.T
	state    *store.State
	clock    *clock
	metrics  *counts
	couriers map[string]*notify.Courier
	to       notify.Dispatcher
	log      *bytes.Buffer
}

func newDesk(t *testing.T, url string, hooks map[string]*hook) *desk {
	t.Helper()
	db, err := sqlstate.Open(t.Context(), url, store.Schema)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	d := &desk{t: t, state: store.NewState(db), clock: &clock{now: noon}, metrics: &counts{}, couriers: map[string]*notify.Courier{}, log: &bytes.Buffer{}}
	require.NoError(t, d.state.Migrate(t.Context(), slog.New(slog.DiscardHandler)))
	of := route.Settings{Routes: map[string]route.Config{}}
	for name, h := range hooks {
		of.Routes[name] = route.Config{Type: "webhook", URL: settings.Secret(h.URL + "/verysecret"), Secret: key, Timeout: 200 * time.Millisecond}
		of.Default = append(of.Default, name)
	}
	table, err := route.New(of, route.Deps{Log: slog.New(slog.DiscardHandler), Now: d.clock.Now})
	require.NoError(t, err)
	d.to = notify.Dispatcher{Routes: table, To: d.state}
	for name := range hooks {
		d.couriers[name] = courier(table, name, d)
	}
	return d
}

func courier(table *route.Table, name string, d *desk) *notify.Courier {
	r, timeout := table.Route(name)
	return &notify.Courier{
		Name: name, Route: r, Timeout: timeout, Owner: "w", Queue: d.state, Metrics: d.metrics, Now: d.clock.Now,
		Log: slog.New(slog.NewTextHandler(d.log, nil)),
	}
}

// tell dispatches the n-th event of an alert.
func (d *desk) tell(tenant, id string, n int64, change alert.Change) {
	d.t.Helper()
	require.NoError(d.t, d.to.Dispatch(d.t.Context(), event(tenant, id, n, change), d.clock.Now()))
}

func event(tenant, id string, n int64, change alert.Change) *alert.Event {
	return &alert.Event{
		ID: fmt.Sprint(id, "-", n), Tenant: tenant, AlertID: id, Sequence: n, Change: change, Title: "s/p/1.0.0", Monitor: "m", Time: noon,
		Moved: []alert.Moved{{Feature: "x"}}, Count: 1,
	}
}

func (d *desk) work(name string) {
	d.t.Helper()
	require.NoError(d.t, d.couriers[name].Work(d.t.Context()))
}

// deliveries are a tenant's, the oldest first, as route, alert, change, state and
// attempts.
func (d *desk) deliveries(tenant string) (out []string) {
	d.t.Helper()
	found, err := d.state.ListDeliveries(d.t.Context(), store.Deliveries{Tenant: tenant, Limit: 1000})
	require.NoError(d.t, err)
	slices.Reverse(found)
	for _, x := range found {
		out = append(out, fmt.Sprint(x.Route, " ", x.AlertID, " ", x.Change, " ", x.State, " ", x.Attempts))
	}
	return out
}

// Of three routes one is dead for hours: the others go on, tenants included, and
// it loses nothing and mixes up nothing.
func TestADeadRouteHoldsUpNobody(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		a, b, dead := newHook(t), newHook(t), newHook(t)
		d := newDesk(t, url, map[string]*hook{"a": a, "b": b, "dead": dead})
		dead.does(refuse(503))
		for hour := range 3 {
			for _, id := range []string{"x", "y"} {
				changes := []alert.Change{alert.Raised, alert.Grew, alert.Resolved}
				d.tell(map[string]string{"x": "acme", "y": "other"}[id], id, int64(hour+1), changes[hour])
			}
			for range 30 {
				for _, name := range []string{"a", "b", "dead"} {
					d.work(name)
				}
				d.clock.turn(2 * time.Minute)
			}
		}
		want := []string{"x raised", "y raised", "x grew", "y grew", "x resolved", "y resolved"}
		require.Equal(t, want, a.told())
		require.Equal(t, want, b.told())
		require.Empty(t, dead.told())
		require.Less(t, dead.times(), 100, "it is asked now and then")
		require.Greater(t, dead.times(), 20)
		backlog, err := d.state.DeliveryBacklog(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[string]store.Backlog{"dead": {Waiting: 6, Oldest: noon}}, backlog)

		dead.does(nil)
		for range 3 { // once for each alert's turn
			d.clock.turn(5 * time.Minute)
			d.work("dead")
		}
		got := dead.told()
		for _, id := range []string{"x", "y"} {
			require.Equal(t, []string{id + " raised", id + " grew", id + " resolved"}, slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.HasPrefix(s, id) }))
		}
		require.Equal(t, 6, d.metrics.of["dead sent"])
		require.NotContains(t, d.log.String(), "verysecret")
	})
}

// A resolve that the broker brings first waits for its raise, and for one that is
// lost not for ever; one that comes after that is not told.
func TestAResolveNeverOvertakesItsRaise(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		h := newHook(t)
		d := newDesk(t, url, map[string]*hook{"a": h})
		d.tell("acme", "x", 3, alert.Resolved)
		d.tell("acme", "x", 2, alert.Grew)
		d.work("a")
		require.Empty(t, h.told())
		d.tell("acme", "x", 1, alert.Raised)
		d.tell("acme", "x", 1, alert.Raised) // comes twice
		h.does(refuse(500))
		d.work("a")
		h.does(nil)
		d.clock.turn(time.Minute)
		d.work("a")
		require.Equal(t, []string{"x raised", "x grew", "x resolved"}, h.told())

		d.tell("acme", "y", 2, alert.Resolved)
		d.clock.turn(notify.Patience)
		d.work("a")
		d.tell("acme", "y", 1, alert.Raised)
		d.work("a")
		require.Equal(t, []string{"x raised", "x grew", "x resolved", "y resolved"}, h.told())
		all := d.deliveries("acme")
		require.Equal(t, "a y raised overtaken 1", all[len(all)-1])
		require.Equal(t, "a x raised sent 2", all[2])
	})
}

// What a service says is obeyed: not before Retry-After, never again after a
// refusal, and what comes behind a refusal goes on.
func TestAnswersDecide(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		h := newHook(t)
		d := newDesk(t, url, map[string]*hook{"a": h})
		h.does(refuse(429, "Retry-After", "600"))
		d.tell("acme", "x", 1, alert.Raised)
		d.tell("acme", "y", 1, alert.Raised)
		d.work("a")
		require.Equal(t, 1, h.times(), "the whole route is left alone")
		d.clock.turn(599 * time.Second)
		d.work("a")
		require.Equal(t, 1, h.times())
		h.does(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			return field(body, "alert_id") != "x" || refuse(403)(w, r, body)
		})
		d.clock.turn(time.Second)
		d.work("a")
		d.tell("acme", "x", 2, alert.Resolved)
		h.does(nil)
		d.work("a")
		require.Equal(t, []string{"y raised", "x resolved"}, h.told())
		require.Equal(t, []string{"a x raised failed 2", "a y raised sent 1", "a x resolved sent 1"}, d.deliveries("acme"))
		found, err := d.state.ListDeliveries(t.Context(), store.Deliveries{Tenant: "acme", Alert: "x", State: alert.Failed, Route: "a", Limit: 10})
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Contains(t, found[0].Error, "answered 403: not now")
		require.NotContains(t, found[0].Error, "verysecret")
		require.Equal(t, d.clock.Now(), found[0].Settled)

		// One that hangs costs its time and no more.
		h.does(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool { <-r.Context().Done(); return false })
		d.tell("acme", "z", 1, alert.Raised)
		began := time.Now()
		d.work("a")
		require.Less(t, time.Since(began), 5*time.Second)
		require.Contains(t, d.deliveries("acme"), "a z raised waiting 1")

		// In the end it is given up.
		given, err := d.state.GiveUpDeliveries(t.Context(), d.clock.Now().Add(time.Second), d.clock.Now())
		require.NoError(t, err)
		require.Equal(t, map[string]int{"a": 1}, given)
		require.Contains(t, d.deliveries("acme"), "a z raised failed 1")
		require.NoError(t, d.state.ForgetDeliveries(t.Context(), d.clock.Now().Add(time.Second)))
		require.Empty(t, d.deliveries("acme"))
	})
}

// A tenant with a hundred alerts does not go before one with one.
func TestTenantsTakeTurns(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		h := newHook(t)
		d := newDesk(t, url, map[string]*hook{"a": h})
		for i := range 20 {
			d.tell("loud", fmt.Sprintf("l%02d", i), 1, alert.Raised)
		}
		d.tell("quiet", "q", 1, alert.Raised)
		d.work("a")
		require.Len(t, h.told(), 21)
		require.LessOrEqual(t, slices.Index(h.told(), "q raised"), 1)
	})
}

// options are those of a courier in a process of its own.
type options struct{ State, Hook string }

func courierProcess(o options) (func(), error) {
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqlstate.Open(ctx, o.State, store.Schema)
	if err != nil {
		cancel()
		return nil, err
	}
	table, err := route.New(route.Settings{Routes: map[string]route.Config{
		"a": {Type: "webhook", URL: settings.Secret(o.Hook), Secret: key, Timeout: time.Minute},
	}, Default: []string{"a"}}, route.Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		cancel()
		return nil, err
	}
	r, timeout := table.Route("a")
	c := notify.Courier{
		Name: "a", Route: r, Timeout: timeout, Owner: "child", Queue: store.NewState(db), Metrics: &counts{}, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return noon },
	}
	go c.Work(ctx)
	return cancel, nil
}

// A process that is killed after the service has taken the news, before that is
// written down: another tells it again, with the same key, and in order.
func TestKilledBetweenSendingAndRecording(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		h := newHook(t)
		arrived := make(chan struct{})
		var once sync.Once
		h.does(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
			h.mu.Lock()
			h.ids = append(h.ids, r.Header.Get("webhook-id"))
			h.mu.Unlock()
			once.Do(func() { close(arrived) })
			<-r.Context().Done() // the answer never gets there
			return false
		})
		d := newDesk(t, url, map[string]*hook{"a": h})
		d.tell("acme", "x", 1, alert.Raised)
		d.tell("acme", "x", 2, alert.Resolved)
		child := testserver.StartChild(t, "courier", childEnv, options{url, h.URL})
		select {
		case <-arrived:
		case <-time.After(patience):
			require.Fail(t, "the courier never came")
		}
		child.Kill()
		h.does(nil)
		require.Equal(t, []string{"a x raised waiting 1", "a x resolved waiting 0"}, d.deliveries("acme"))
		d.work("a")
		require.Empty(t, h.told(), "it is in the hands of the dead, and nothing overtakes it")
		d.clock.turn(2 * time.Minute)
		d.work("a")
		require.Equal(t, []string{"x raised", "x resolved"}, h.told())
		require.Equal(t, []string{"x-1", "x-1", "x-2"}, h.ids, "the same key")
		require.Equal(t, []string{"a x raised sent 2", "a x resolved sent 1"}, d.deliveries("acme"))
	})
}

// Many couriers of one route, as of many processes: each event once, in order.
func TestCouriersShareTheWork(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		h := newHook(t)
		d := newDesk(t, url, map[string]*hook{"a": h})
		for i := range 10 {
			for n, change := range []alert.Change{alert.Raised, alert.Grew, alert.Resolved} {
				d.tell("acme", fmt.Sprint("x", i), int64(n+1), change)
			}
		}
		var group sync.WaitGroup
		for i := range 4 {
			c := *d.couriers["a"]
			c.Owner, c.Log = fmt.Sprint(i), slog.New(slog.DiscardHandler)
			group.Go(func() {
				for len(h.told()) < 30 {
					_ = c.Work(t.Context()) // may lose a race, and goes on
				}
			})
		}
		group.Wait()
		for i := range 10 {
			id := fmt.Sprint("x", i)
			require.Equal(t, []string{id + " raised", id + " grew", id + " resolved"},
				slices.DeleteFunc(h.told(), func(s string) bool { return !strings.HasPrefix(s, id+" ") }))
		}
	})
}

// An alert that is resolved while Alertmanager is told that it is open is not open
// there in the end.
func TestARefreshRevivesNothing(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, url string) {
		d := newDesk(t, url, nil)
		db, err := sqlstate.Open(t.Context(), url, store.Schema)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		_, err = db.Exec(t.Context(), `INSERT INTO alerts (id, tenant, profile, detector, kind, raised, repeated, resolved, acknowledged, acknowledged_by, notified,
			occurrences, range_start, range_end, scores) VALUES ('x', 'acme', 'p', 'psi', 'schedule', 1, 0, 0, 0, '', 0, 1, 0, 0, '[]')`)
		require.NoError(t, err)
		var mu sync.Mutex
		var ends []bool // of all that was posted, whether it was over
		resolving := false
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var posted []struct{ EndsAt time.Time }
			_ = json.NewDecoder(r.Body).Decode(&posted)
			mu.Lock()
			defer mu.Unlock()
			for _, a := range posted {
				ends = append(ends, !a.EndsAt.After(d.clock.Now()))
			}
			if resolving {
				_, err := db.Exec(context.WithoutCancel(t.Context()), `UPDATE alerts SET resolved = ? WHERE id = 'x'`, noon.UnixMicro())
				assert.NoError(t, err)
			}
		}))
		t.Cleanup(server.Close)
		table, err := route.New(route.Settings{Routes: map[string]route.Config{"am": {Type: "alertmanager", URL: settings.Secret(server.URL)}}, Default: []string{"am"}},
			route.Deps{Log: slog.New(slog.DiscardHandler), Now: d.clock.Now})
		require.NoError(t, err)
		d.to.Routes, d.couriers["am"] = table, courier(table, "am", d)
		d.tell("acme", "x", 1, alert.Raised)
		d.tell("acme", "x", 2, alert.Acknowledged)
		d.work("am")
		require.NoError(t, d.couriers["am"].Refresh(t.Context()))
		require.NoError(t, d.couriers["am"].Refresh(t.Context()), "it is not time yet")
		require.Equal(t, []bool{false, false}, ends)
		d.clock.turn(time.Minute)
		resolving = true
		require.NoError(t, d.couriers["am"].Refresh(t.Context()))
		require.Equal(t, []bool{false, false, false, true}, ends, "its end is told again")
		d.clock.turn(time.Minute)
		require.NoError(t, d.couriers["am"].Refresh(t.Context()))
		require.Len(t, ends, 4)
	})
}
