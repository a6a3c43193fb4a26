package origin_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/gateway/internal/origin"
)

func request(method, host string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "/api/v1/records", nil)
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestWebPagesSpeakForNobody(t *testing.T) {
	t.Parallel()
	strict := origin.Config{CheckHost: true, Hosts: []string{"Mesh.Example.com"}, Origins: []string{"https://app.example.com"}}
	for _, tc := range []struct {
		name   string
		cfg    origin.Config
		r      *http.Request
		reason string // "" for let through
	}{
		{"a program", strict, request("POST", "127.0.0.1:8000"), ""},
		{"a program, IPv6", strict, request("POST", "[::1]:8000"), ""},
		{"localhost", strict, request("POST", "LOCALHOST:8000"), ""},
		{"a name under localhost, with a dot", strict, request("POST", "mesh.localhost.:8000"), ""},
		{"another address of the machine", strict, request("POST", "192.168.1.7:8000"), ""},
		{"a configured name", strict, request("GET", "mesh.example.com"), ""},
		{"rebound name, reading", strict, request("GET", "evil.example.com:8000"), "HOST_UNKNOWN"},
		{"rebound name, of one origin", strict, request("POST", "evil.example.com:8000", "Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example.com:8000"), "HOST_UNKNOWN"},
		{"a name that begins well", strict, request("POST", "localhost.evil.example.com"), "HOST_UNKNOWN"},
		{"no host", strict, request("POST", ""), "HOST_UNKNOWN"},
		{"where credentials are asked for", origin.Config{}, request("GET", "mesh.internal:8000"), ""},
		{"any host", origin.Config{CheckHost: true, Hosts: []string{"*"}}, request("GET", "mesh.internal:8000"), ""},
		{"a page elsewhere", strict, request("POST", "localhost:8000", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example.com"), "CROSS_ORIGIN"},
		{"a page on another port here", strict, request("DELETE", "localhost:8000", "Sec-Fetch-Site", "same-site"), "CROSS_ORIGIN"},
		{"an old browser", strict, request("POST", "localhost:8000", "Origin", "https://evil.example.com"), "CROSS_ORIGIN"},
		{"a sandboxed frame", strict, request("POST", "localhost:8000", "Origin", "null"), "CROSS_ORIGIN"},
		{"a trusted page", strict, request("POST", "localhost:8000", "Sec-Fetch-Site", "cross-site", "Origin", "https://app.example.com"), ""},
		{"our own page", strict, request("POST", "localhost:8000", "Sec-Fetch-Site", "same-origin", "Origin", "http://localhost:8000"), ""},
		{"any page", origin.Config{Origins: []string{"*"}}, request("POST", "localhost:8000", "Sec-Fetch-Site", "cross-site"), ""},
		{"a page that reads", strict, request("GET", "localhost:8000", "Sec-Fetch-Site", "cross-site"), ""}, // the browser keeps the answer from it
	} {
		p, err := origin.New(tc.cfg)
		require.NoError(t, err)
		err = p.Check(tc.r)
		if tc.reason == "" {
			require.NoError(t, err, tc.name)
			continue
		}
		require.ErrorIs(t, err, fault.Denied, tc.name)
		require.Equal(t, tc.reason, fault.Of(err).Reason(), tc.name)
	}
	_, err := origin.New(origin.Config{Origins: []string{"app.example.com/x"}})
	require.Error(t, err)
}
