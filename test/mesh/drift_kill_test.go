package mesh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/test/mesh"
)

// killRounds sends records that are hours late, in any order and more than once, to
// profiles that are evaluated window by window, while drift workers are killed.
type killRounds struct {
	f      *mesh.Five
	data   wineData
	rows   []int
	joined []*mesh.Process
	hook   *hook
	begin  time.Time
	// cells and scores are what the first round came to.
	cells, scores string
}

// lookback is how many minutes each evaluation looks at: most minutes are in
// several slots.
const lookback = 20

func newKillRounds(t *testing.T, data wineData, rows []int) *killRounds {
	return &killRounds{data: data, rows: rows, hook: newHook(t), begin: time.Now().UTC().Add(-6 * time.Hour).Truncate(time.Minute)}
}

// env are settings with which work in dead hands is soon free again.
func (k *killRounds) env() []string {
	return []string{
		"DRIFTMESH_DRIFT_LEASE=5s", "DRIFTMESH_DRIFT_REFRESH=500ms", "DRIFTMESH_DRIFT_GRACE=1s", "DRIFTMESH_DRIFT_POLL=200ms",
		`DRIFTMESH_DRIFT_ROUTES={hook: {type: webhook, url: "` + k.hook.url + `", secret: "` + strings.Repeat("k", 32) + `"}}`,
	}
}

// run kills whichever of the workers chance says while the records come, and
// requires the cells, scores and alerts of the first round.
func (k *killRounds) run(t *testing.T, name string, random *rand.Rand) {
	t.Helper()
	uid := k.register(t, name)
	stop, killed := make(chan struct{}), make(chan int)
	go k.kill(t, rand.New(rand.NewPCG(random.Uint64(), 1)), stop, killed)
	sendShuffled(t, k.f.Addresses, k.data, k.rows, "default/"+name, k.begin, random)
	k.f.Settled(t, "records")
	close(stop)
	n := <-killed
	want := k.expected()
	began := time.Now()
	mesh.Await(t, 2*time.Minute, func() error { return k.complete(t, name, want) })
	t.Logf("%s: %d kills, settled %v after the last record", name, n, time.Since(began).Round(time.Second/10))

	cells, scores := k.cellsOf(t, uid), k.scoresOf(t, name)
	if k.cells == "" {
		k.cells, k.scores = cells, scores
	}
	requireSameLines(t, k.cells, cells, name+": cells")
	requireSameLines(t, k.scores, scores, name+": scores")
	k.requireAlerts(t, uid)
}

// requireSameLines shows the lines that differ, and not all that do not.
func requireSameLines(t *testing.T, want, got, of string) {
	t.Helper()
	if want == got {
		return
	}
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	var shown strings.Builder
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			fmt.Fprintf(&shown, "line %d\n  want %s\n  got  %s\n", i, line(a, i), line(b, i))
		}
	}
	require.FailNow(t, of+" differ", "%d lines and %d\n%s", len(a), len(b), shown.String())
}

func line(lines []string, i int) string {
	if i >= len(lines) {
		return "(none)"
	}
	return lines[i]
}

func (k *killRounds) register(t *testing.T, name string) string {
	t.Helper()
	client, err := sdk.New(k.f.GRPC)
	require.NoError(t, err)
	defer client.Shutdown(context.Background())
	columns := make([]profile.Column, len(k.data.names))
	for i, feature := range k.data.names {
		columns[i] = profile.Column{Name: feature, Type: profile.Float}
		if feature == "quality" {
			columns[i].Type = profile.Int
		}
		for row := 0; row < len(k.data.rows); row += 2 {
			columns[i].Numbers = append(columns[i].Numbers, number(t, k.data.rows[row][i]))
		}
	}
	made, err := profile.New(columns, profile.Options{
		Space: "default", Name: name, Schedule: profile.Schedule{OnClose: true, Lookback: lookback * time.Minute},
		Monitors: []profile.Monitor{
			{Name: "shape", Detector: "psi_scouter", Threshold: profile.Above(0.1), Features: []string{"alcohol", "density"}},
			{Name: "shift", Detector: "mean", Features: []string{"alcohol"}}, // by sums without rounding
		},
	})
	require.NoError(t, err)
	registered, err := client.Register(t.Context(), made)
	require.NoError(t, err)
	return registered.UID
}

// kill kills a worker, starts it again, and goes on until it is told to stop, three
// times at least.
func (k *killRounds) kill(t *testing.T, random *rand.Rand, stop <-chan struct{}, killed chan<- int) {
	n := 0
	defer func() { killed <- n }()
	for ; ; n++ {
		select {
		case <-stop:
			if n >= 3 {
				return
			}
		case <-time.After(time.Duration(random.IntN(700)) * time.Millisecond): // chance
		}
		if i := random.IntN(len(k.joined) + 1); i < len(k.joined) {
			k.joined[i].Kill()
			k.joined[i] = k.f.Join("drift")
		} else {
			k.f.Kill("drift")
			k.f.Restart("drift")
		}
	}
}

// expected is how many records each slot judges, by its minute.
func (k *killRounds) expected() map[int64]uint64 {
	of := map[int64]uint64{}
	for i := range k.rows {
		of[k.begin.Add(time.Duration(i)*5*time.Second).Unix()/60]++
	}
	want := map[int64]uint64{}
	for minute := range of {
		for m := minute - lookback + 1; m <= minute; m++ {
			want[minute+1] += of[m]
		}
	}
	return want
}

func (k *killRounds) evaluations(t *testing.T, name string) ([]*driftv1.Evaluation, error) {
	t.Helper()
	answer, err := driftv1.NewDriftServiceClient(k.f.Conn(t)).ListScores(t.Context(), &driftv1.ListScoresRequest{Profile: "default/" + name, PageSize: 1000})
	// Those of the profile's cron are of the time of the test.
	return slices.DeleteFunc(answer.GetEvaluations(), func(e *driftv1.Evaluation) bool { return e.GetSlot().AsTime().After(k.begin.Add(4 * time.Hour)) }), err
}

// complete: each slot with data is there once, and has judged all that belongs to it.
func (k *killRounds) complete(t *testing.T, name string, want map[int64]uint64) error {
	t.Helper()
	found, err := k.evaluations(t, name)
	if err != nil {
		return err
	}
	have := map[int64]uint64{}
	for _, e := range found {
		slot := e.GetSlot().GetSeconds() / 60
		if _, twice := have[slot]; twice {
			return fmt.Errorf("slot %d is there twice", slot)
		}
		have[slot] = e.GetRecords()
	}
	for slot, records := range want {
		if have[slot] != records {
			return fmt.Errorf("slot %d has judged %d records of %d; %d slots of %d are there", slot, have[slot], records, len(have), len(want))
		}
	}
	require.Len(t, have, len(want), "no slot without data")
	return nil
}

func (k *killRounds) scoresOf(t *testing.T, name string) string {
	t.Helper()
	found, err := k.evaluations(t, name)
	require.NoError(t, err)
	var all strings.Builder
	for _, e := range found {
		fmt.Fprintf(&all, "%v %d\n%s", e.GetSlot().AsTime(), e.GetRecords(), digits(t, e))
	}
	return all.String()
}

// cellsOf is all that table cells says of a profile.
func (k *killRounds) cellsOf(t *testing.T, uid string) string {
	t.Helper()
	resp, err := http.Post(k.f.ClickHouseURL[:strings.LastIndex(k.f.ClickHouseURL, "/")]+"/?database=driftmesh", "text/plain",
		strings.NewReader("SELECT * EXCEPT (Tenant, Profile) FROM cells FINAL WHERE Profile = '"+uid+"' ORDER BY Minute, Feature FORMAT TSV"))
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
	require.NotEmpty(t, body)
	return string(body)
}

// requireAlerts: each monitor has one alert, and people heard once that it is there.
func (k *killRounds) requireAlerts(t *testing.T, uid string) {
	t.Helper()
	mesh.Await(t, time.Minute, func() error {
		if raised := k.hook.raised(uid); len(raised) < 2 {
			return fmt.Errorf("people heard of %v", raised)
		}
		return nil
	})
	require.Equal(t, map[string]int{"shape": 1, "shift": 1}, k.hook.raised(uid))
	answer, err := driftv1.NewDriftServiceClient(k.f.Conn(t)).ListAlerts(t.Context(), &driftv1.ListAlertsRequest{PageSize: 1000})
	require.NoError(t, err)
	var monitors []string
	for _, a := range answer.GetAlerts() {
		if a.GetProfile() == uid {
			monitors = append(monitors, a.GetMonitor())
		}
	}
	require.ElementsMatch(t, []string{"shape", "shift"}, monitors)
}

// hook receives alerts.
type hook struct {
	url string
	mu  sync.Mutex
	// heard are profile and monitor of each event that something is raised, by id.
	heard map[string][2]string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{heard: map[string][2]string{}}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var event struct{ ID, Change, Profile, Monitor string }
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil || event.Change != "raised" {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.heard[r.Header.Get("Webhook-Id")] = [2]string{event.Profile, event.Monitor}
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

// raised is how often each monitor of a profile raised an alert, whoever often that
// was told.
func (h *hook) raised(uid string) map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := map[string]int{}
	for _, event := range h.heard {
		if event[0] == uid {
			of[event[1]]++
		}
	}
	return of
}
