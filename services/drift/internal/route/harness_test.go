package route_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultClient.CloseIdleConnections()
		os.Exit(code)
	}))
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// received is a request that a service has taken.
type received struct {
	path   string
	header http.Header
	body   []byte
}

func (r received) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(r.body, &v))
	return v
}

// service is a real HTTP server that keeps what it is sent, and answers as told.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	got    []received
	answer http.HandlerFunc
}

func serve(t *testing.T, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.got = append(s.got, received{r.URL.RequestURI(), r.Header, body})
		s.mu.Unlock()
		if s.answer != nil {
			s.answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) requests() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.got...)
}

func deps() route.Deps {
	return route.Deps{
		Log: slog.New(slog.DiscardHandler), TraceURL: "http://mesh/traces/{trace}", AlertURL: "http://mesh/alerts/{alert}",
		Now: func() time.Time { return noon },
	}
}

// open makes one route.
func open(t *testing.T, cfg route.Config) route.Route {
	t.Helper()
	table, err := route.New(route.Settings{Routes: map[string]route.Config{"r": cfg}}, deps())
	require.NoError(t, err)
	made, timeout := table.Route("r")
	require.Positive(t, timeout)
	t.Cleanup(table.CloseIdle)
	return made
}

func secret(text string) settings.Secret { return settings.Secret(text) }

// news is an event of an alert with all there can be to it.
func news(change alert.Change) *alert.Event {
	threshold, p, rate := 0.1, 1e-9, 0.05
	e := &alert.Event{
		ID: "0b2f8a3e-0000-5000-8000-00000000000" + map[alert.Change]string{alert.Raised: "1", alert.Acknowledged: "2", alert.Resolved: "3"}[change], Tenant: "acme",
		AlertID: "01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11", Change: change, Time: noon.Add(time.Minute), Raised: noon, Profile: "uid", Title: "pay/fraud/1.2.0",
		Monitor: "shape", Detector: "psi", Severity: profile.Critical, Count: 2, RangeStart: noon.Add(-time.Hour), RangeEnd: noon,
		Traces: []string{"0af7651916cd43dd8448eb211c80319c"}, Moved: []alert.Moved{
			{Feature: "amount <eur>", Value: 0.5, Threshold: &threshold, Sample: 100, Reference: 1000, Adjusted: &p, Rate: &rate, Bins: []alert.Share{
				{Label: "(-inf, 5]", Expected: 0.9, Observed: 0.5}, {Label: "(5, +inf)", Expected: 0.1, Observed: 0.5},
			}},
			{Feature: "age", Value: 0.2, Threshold: &threshold, Sample: 100, Reference: 1000},
		},
	}
	if change == alert.Acknowledged {
		e.By = "ada"
	}
	return e
}
