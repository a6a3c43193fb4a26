package drift_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse"
	"github.com/driftmesh/driftmesh/internal/clickhouse/clickhousetest"
)

// held is a way to the engine on which the first answer to the sums of cells is
// held up.
type held struct {
	db       *clickhouse.DB
	reached  chan struct{} // closed when that answer is there
	released chan struct{} // close it to let it through
}

func (m *mesh) hold() *held {
	m.t.Helper()
	target, err := url.Parse(clickhousetest.URL(m.t))
	require.NoError(m.t, err)
	h := &held{reached: make(chan struct{}), released: make(chan struct{})}
	var seen atomic.Bool
	engine := &url.URL{Scheme: target.Scheme, Host: target.Host}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(engine) },
		ModifyResponse: func(resp *http.Response) error {
			if resp.Request.Header.Get("X-Sums") == "" || seen.Swap(true) {
				return nil
			}
			answer, err := io.ReadAll(resp.Body)
			if err != nil {
				return err
			}
			resp.Body = io.NopCloser(bytes.NewReader(answer))
			close(h.reached)
			<-h.released
			return nil
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if strings.Contains(r.URL.RawQuery+string(body), "sumForEach") {
			r.Header.Set("X-Sums", "1")
		}
		proxy.ServeHTTP(w, r)
	}))
	m.t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	require.NoError(m.t, err)
	at.User, at.RawQuery = target.User, target.RawQuery
	h.db, err = clickhouse.Open(m.t.Context(), clickhouse.Config{URL: at.String()}.WithDatabase(m.db.Database()))
	require.NoError(m.t, err)
	m.t.Cleanup(func() { require.NoError(m.t, h.db.Close()) })
	return h
}

// A worker is held up between reading the cells of a slot and writing the scores,
// for longer than its lease; meanwhile another judges the slot by more records.
// What the first writes at last does not take the place of that.
func TestAResultThatWasHeldUpGivesWay(t *testing.T) {
	m := newMesh(t)
	m.clock.step = time.Nanosecond
	var console syncBuffer
	m.log = slog.New(slog.NewTextHandler(&console, nil))
	direct, h := m.db, m.hold()
	m.db = h.db
	slow := m.run()
	m.db = direct
	released := false
	release := func() {
		if !released {
			released = true
			close(h.released)
		}
	}
	t.Cleanup(release)

	p := create(t, slow, "acme", wineProfile(t)).GetUid()
	records := hourRecords(t, 1)
	m.store("acme", p, records[:100])
	m.clock.set(slotOf(1).Add(6 * time.Second))
	select {
	case <-h.reached:
	case <-time.After(patience):
		require.Fail(t, "nobody reads the cells")
	}
	quick := m.run()
	m.store("acme", p, records[100:])
	m.clock.set(m.clock.Now().Add(2 * time.Minute)) // the lease is over
	require.Eventually(t, func() bool {
		m.clock.set(m.clock.Now().Add(time.Second))
		return quick.next(p).Equal(slotOf(2)) && m.waiting(quick) == 0 && quick.late() == 0
	}, patience, tick)
	require.EqualValues(t, len(records), quick.scoreOf(p, slotOf(1)).GetRecords())

	release()
	require.Eventually(t, func() bool { return strings.Contains(console.String(), "an evaluation took longer than its lease") }, patience, tick)
	require.EqualValues(t, len(records), quick.scoreOf(p, slotOf(1)).GetRecords())
}
