package jaeger_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/driftmesh/driftmesh/services/gateway/internal/jaeger"
)

func FuzzSearch(f *testing.F) {
	f.Add("service=s&tags=%7B%22a%22%3A1%7D&limit=5&lookback=2d")
	f.Add("service=s&tag=a:b&minDuration=1ms&start=1&end=2&traceID=ff")
	f.Add("query.startTimeMin=2026-01-01T00:00:00+01:00&query.startTimeMax=2027-01-01T00:00:00Z")
	f.Add("service=s&quantile=.5&endTs=1&lookback=2&step=3&ratePer=4&spanKind=client&groupByOperation=1")
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/api/traces", "/api/v3/traces", "/api/dependencies", "/api/traces/7", "/api/metrics/latencies"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.URL = &url.URL{Path: path, RawQuery: query}
			w := httptest.NewRecorder()
			jaeger.New(jaeger.Config{}, &store{}, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
			if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusNotFound {
				t.Fatalf("%s?%q: status %d: %s", path, query, w.Code, w.Body)
			}
		}
	})
}

func FuzzSearchBody(f *testing.F) {
	f.Add(`{"query":{"service_name":"s","startTimeMin":"2026-01-01T00:00:00Z","startTimeMax":"2027-01-01T00:00:00Z","searchDepth":"3","attributes":{"a":"b"}}}`)
	f.Add(`{"query":null}`)
	f.Add(`{"query":{"_":[],"raw_traces":true,"duration_min":"1s"}} `)
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/api/v3/traces", "/api/v3/trace-summaries"} {
			w := httptest.NewRecorder()
			jaeger.New(jaeger.Config{}, &store{}, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
			if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusNotFound {
				t.Fatalf("%s: status %d: %s", body, w.Code, w.Body)
			}
		}
	})
}
