package gateway_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/driftmesh/driftmesh/internal/broker"
	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
)

// events reads server-sent events.
type events struct {
	t    *testing.T
	from *bufio.Reader
}

type tailed struct {
	Missed uint64 `json:"missed"`
	Traces struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []struct {
					TraceID string `json:"traceId"`
					Name    string `json:"name"`
				} `json:"spans"`
			} `json:"scopeSpans"`
		} `json:"resourceSpans"`
	} `json:"traces"`
	Record struct {
		ID      string `json:"id"`
		Profile string `json:"profile"`
	} `json:"record"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// next gives the next event that is no beat.
func (e *events) next() (name string, data tailed) {
	e.t.Helper()
	for {
		line, err := e.from.ReadString('\n')
		require.NoError(e.t, err)
		if after, is := strings.CutPrefix(line, "event: "); is {
			name = strings.TrimSpace(after)
		}
		if after, is := strings.CutPrefix(line, "data: "); is && name != "beat" {
			require.NoError(e.t, json.Unmarshal([]byte(after), &data), after)
			return name, data
		}
	}
}

func (w *world) getEvents(question, bearer string) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.http+"/api/v1/tail/events?"+question, nil)
	require.NoError(w.t, err)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := w.client.Do(req)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// listen opens events, and returns when whatever arrives is in them.
func (w *world) listen(question, bearer string) *events {
	w.t.Helper()
	resp := w.getEvents(question, bearer)
	require.Equal(w.t, http.StatusOK, resp.StatusCode)
	require.Equal(w.t, "text/event-stream", resp.Header.Get("Content-Type"))
	require.Equal(w.t, "no-store", resp.Header.Get("Cache-Control"))
	return &events{w.t, bufio.NewReader(resp.Body)}
}

// TestTailEvents: a browser gets as JSON what the call Tail gives, of its own tenant
// alone, by the same filters.
func TestTailEvents(t *testing.T) {
	t.Parallel()
	w := start(t)
	all := w.listen("signal=SIGNAL_SPANS", token("acme", nil))
	some := w.listen("signal=SIGNAL_SPANS&service=bank&span_name=b&attributes[zone]=z1", token("acme", nil))
	theirs := w.listen("signal=SIGNAL_SPANS", token("other", nil))
	records := w.listen("signal=SIGNAL_RECORDS&profile="+wineUID, token("acme", nil))

	export := func(tenant string) {
		_, err := coltracepb.NewTraceServiceClient(w.dial(w.otlpGRPC)).Export(as(t, tenant), exported())
		require.NoError(t, err)
	}
	export("acme")
	name, got := all.next()
	require.Equal(t, "spans", name)
	require.Len(t, got.Traces.ResourceSpans, 2)
	require.Equal(t, "0102030405060708090a0b0c0d0e0f10", got.Traces.ResourceSpans[0].ScopeSpans[0].Spans[0].TraceID, "ids are hex")
	_, got = some.next()
	require.Len(t, got.Traces.ResourceSpans, 1)
	require.Equal(t, "b", got.Traces.ResourceSpans[0].ScopeSpans[0].Spans[0].Name)

	own := exported()
	own.ResourceSpans = own.ResourceSpans[:1]
	own.ResourceSpans[0].ScopeSpans[0].Spans[0].Name = "their own"
	_, err := coltracepb.NewTraceServiceClient(w.dial(w.otlpGRPC)).Export(as(t, "other"), own)
	require.NoError(t, err)
	_, got = theirs.next()
	require.Equal(t, "their own", got.Traces.ResourceSpans[0].ScopeSpans[0].Spans[0].Name, "the first that they see")

	_, err = w.ingest().PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{wine("one", float("alcohol", 1))}})
	require.NoError(t, err)
	name, got = records.next()
	require.Equal(t, "record", name)
	require.Equal(t, "one", got.Record.ID)
	require.Equal(t, wineUID, got.Record.Profile)
}

// TestTailEventsRefused: who may not watch, asks for nonsense or is one too many
// gets an answer and no stream.
func TestTailEventsRefused(t *testing.T) {
	t.Parallel()
	w := start(t, func(c *gateway.Config) { c.MaxTails = 1 })
	writer := token("acme", func(c jwt.MapClaims) { c["role"] = "ingest" })
	w.listen("signal=SIGNAL_SPANS", token("acme", nil))
	for name, tt := range map[string]struct {
		question, bearer string
		status           int
	}{
		"nobody":       {"signal=SIGNAL_SPANS", "", http.StatusUnauthorized},
		"no right":     {"signal=SIGNAL_SPANS", writer, http.StatusForbidden},
		"no signal":    {"", token("acme", nil), http.StatusBadRequest},
		"an odd one":   {"signal=colours", token("acme", nil), http.StatusBadRequest},
		"one too many": {"signal=SIGNAL_SPANS", token("acme", nil), http.StatusServiceUnavailable},
	} {
		resp := w.getEvents(tt.question, tt.bearer)
		require.Equal(t, tt.status, resp.StatusCode, name)
		require.Equal(t, "application/json", resp.Header.Get("Content-Type"), name)
	}
}

// TestTailEventsEnd: with the credentials that they began with, which says why.
func TestTailEventsEnd(t *testing.T) {
	t.Parallel()
	w := start(t)
	of := w.listen("signal=SIGNAL_SPANS", token("acme", nil))
	w.revoke()
	name, data := of.next()
	require.Equal(t, "end", name)
	require.Equal(t, "UNAUTHENTICATED", data.Code)
	_, err := of.from.ReadString('\n')
	if err == nil { // the line that ends the event
		_, err = of.from.ReadString('\n')
	}
	require.ErrorIs(t, err, io.EOF)
	require.Eventually(t, func() bool { return w.metric("driftmesh_gateway_tails", "", "") == 0 }, patience, patience/1000)
}

// TestTailEventsSlowReader: whoever does not read is told how much was missed, and what
// waits for him stays within a bound.
func TestTailEventsSlowReader(t *testing.T) {
	t.Parallel()
	w := start(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.http, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(256<<10))
	_, err = io.WriteString(conn, "GET /api/v1/tail/events?signal=SIGNAL_RECORDS HTTP/1.1\r\nHost: mesh\r\nAuthorization: Bearer "+token("acme", nil)+"\r\n\r\n")
	require.NoError(t, err)
	head, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer head.Body.Close()

	client := w.ingest()
	big := strings.Repeat("x", 60<<10) // as long as a value may be, about
	const sent = 120                   // of four: 29 MB, more than the connections and the queue hold
	before := w.metric("driftmesh_gateway_in_flight_bytes", "", "")
	most := before
	for range sent {
		_, err := client.PublishRecords(as(t, "acme"), &ingestv1.PublishRecordsRequest{Records: []*ingestv1.Record{
			wine("", text("colour", big)), wine("", text("colour", big)), wine("", text("colour", big)), wine("", text("colour", big)),
		}})
		require.NoError(t, err)
		most = max(most, w.metric("driftmesh_gateway_in_flight_bytes", "", ""))
	}
	require.Less(t, most-before, float64(broker.TailBytes+2<<20), "bytes that wait for the reader")
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	of := &events{t, bufio.NewReader(head.Body)}
	for {
		if _, data := of.next(); data.Missed > 0 {
			return
		}
	}
}
