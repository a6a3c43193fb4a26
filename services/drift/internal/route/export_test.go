package route

import (
	"net/http"
	"testing"
)

// Sign is the signature of a webhook.
func Sign(t *testing.T, secret, id, at, body string) string {
	t.Helper()
	key, err := webhookKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return sign(key, id, at, []byte(body))
}

// CloseIdle closes the connections that routes keep, of a table.
func (t *Table) CloseIdle() {
	for _, r := range t.routes {
		if p := posterOf(r); p != nil {
			p.client.Transport.(*http.Transport).CloseIdleConnections()
		}
	}
}

func posterOf(r Route) *poster {
	switch r := r.(type) {
	case slack:
		return r.to
	case pagerDuty:
		return r.to
	case opsGenie:
		return r.to
	case alertmanager:
		return r.to
	case webhook:
		return r.to
	}
	return nil
}
