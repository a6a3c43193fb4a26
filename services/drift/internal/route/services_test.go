package route_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/mail"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/sdk/profile"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
)

func TestSlack(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	r := open(t, route.Config{Type: "slack", URL: secret(s.URL + webhookPath)})
	require.NoError(t, r.Deliver(t.Context(), news(alert.Raised)))
	long := news(alert.Raised)
	long.Title = strings.Repeat("ä", 400) + "/b/1.0.0"
	for i := range alert.MaxMoved {
		m := long.Moved[0]
		m.Feature = fmt.Sprint(strings.Repeat("<", 500), i)
		long.Moved = append(long.Moved, m)
	}
	require.NoError(t, r.Deliver(t.Context(), long))
	var message struct {
		Text   string
		Blocks []struct {
			Type     string
			Text     struct{ Type, Text string }
			Elements []struct{ Type, Text string }
		}
	}
	got := s.requests()
	require.Equal(t, webhookPath, got[0].path)
	require.NoError(t, json.Unmarshal(got[0].body, &message))
	require.Contains(t, message.Text, "drift in pay/fraud/1.2.0 raised (monitor shape): 2 features moved: amount &lt;eur&gt; psi 0.5")
	require.Equal(t, "⚠️ pay/fraud/1.2.0: critical drift raised", message.Blocks[0].Text.Text)
	require.Contains(t, message.Blocks[1].Text.Text, "reference █▁\n  current   ▅▅  (-inf, 5]: 90% → 50%")
	require.Contains(t, message.Blocks[2].Elements[0].Text, "<http://mesh/alerts/01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11|alert> · <http://mesh/traces/0af7651916cd43dd8448eb211c80319c|trace 0af76519>")
	require.NoError(t, json.Unmarshal(got[1].body, &message))
	require.LessOrEqual(t, utf8.RuneCountInString(message.Blocks[0].Text.Text), 150)
	require.LessOrEqual(t, utf8.RuneCountInString(message.Blocks[1].Text.Text), 3000)
	require.LessOrEqual(t, utf8.RuneCountInString(message.Blocks[2].Elements[0].Text), 3000)
}

// An incident of PagerDuty is the alert's: raised twice it is one, and what
// follows finds it.
func TestPagerDuty(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	r := open(t, route.Config{Type: "pagerduty", URL: secret(s.URL), Key: secret(strings.Repeat("k", 32))})
	changes := []alert.Change{alert.Raised, alert.Acknowledged, alert.Resolved}
	for _, change := range changes {
		require.NoError(t, r.Deliver(t.Context(), news(change)))
	}
	for i, action := range []string{"trigger", "acknowledge", "resolve"} {
		got := s.requests()[i]
		require.Equal(t, "/v2/enqueue", got.path)
		event := got.json(t)
		require.Equal(t, action, event["event_action"])
		require.Equal(t, news(changes[i]).AlertID, event["dedup_key"])
		require.Equal(t, strings.Repeat("k", 32), event["routing_key"])
	}
	first := s.requests()[0].json(t)
	payload, _ := first["payload"].(map[string]any)
	require.Equal(t, "critical", payload["severity"])
	require.Equal(t, "driftmesh/acme", payload["source"])
	require.Equal(t, "pay/fraud/1.2.0", payload["component"])
	require.LessOrEqual(t, utf8.RuneCountInString(payload["summary"].(string)), 1024)
	require.Equal(t, "http://mesh/alerts/01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11", first["client_url"])
	require.Len(t, first["links"], 1)
	for severity, want := range map[profile.Severity]string{profile.Info: "info", profile.Warning: "warning", "": "warning"} {
		e := news(alert.Grew)
		e.Severity = severity
		require.NoError(t, r.Deliver(t.Context(), e))
		all := s.requests()
		payload, _ := all[len(all)-1].json(t)["payload"].(map[string]any)
		require.Equal(t, want, payload["severity"])
	}
}

func TestOpsGenie(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	r := open(t, route.Config{Type: "opsgenie", URL: secret(s.URL), Key: "geniekey"})
	for _, change := range []alert.Change{alert.Raised, alert.Acknowledged, alert.Resolved} {
		require.NoError(t, r.Deliver(t.Context(), news(change)))
	}
	got := s.requests()
	id := news(alert.Raised).AlertID
	require.Equal(t, []string{"/v2/alerts", "/v2/alerts/" + id + "/acknowledge?identifierType=alias", "/v2/alerts/" + id + "/close?identifierType=alias"},
		[]string{got[0].path, got[1].path, got[2].path})
	require.Equal(t, "GenieKey geniekey", got[2].header.Get("Authorization"))
	made := got[0].json(t)
	require.Equal(t, id, made["alias"])
	require.Equal(t, "P1", made["priority"])
	require.LessOrEqual(t, utf8.RuneCountInString(made["message"].(string)), 130)
	require.Contains(t, made["description"], "reference █▁")
	require.Equal(t, "ada", got[1].json(t)["user"])
}

// The example of the specification (standardwebhooks.com, libraries' tests), and
// a receiver that checks as docs/alerts.md says.
func TestWebhookSignature(t *testing.T) {
	t.Parallel()
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		route.Sign(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`))
	s := serve(t, nil)
	const key = "a secret of thirty-two bytes ...."
	r := open(t, route.Config{Type: "webhook", URL: secret(s.URL + "/hook"), Secret: key})
	for range 2 {
		require.NoError(t, r.Deliver(t.Context(), news(alert.Raised)))
	}
	got := s.requests()
	for _, one := range got {
		mac := hmac.New(sha256.New, []byte(key))
		fmt.Fprintf(mac, "%s.%s.%s", one.header.Get("webhook-id"), one.header.Get("webhook-timestamp"), one.body)
		require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), one.header.Get("webhook-signature"))
		require.Equal(t, fmt.Sprint(noon.Unix()), one.header.Get("webhook-timestamp"))
	}
	require.Equal(t, news(alert.Raised).ID, got[0].header.Get("webhook-id"))
	require.Equal(t, got[0].header.Get("webhook-id"), got[1].header.Get("webhook-id"), "the same key at every attempt")
	body := got[0].json(t)
	require.Equal(t, "drift.raised", body["type"])
	require.Equal(t, "acme", body["tenant"])
	require.Equal(t, "http://mesh/alerts/01970f4e-6c1a-7b32-9d55-0c2f6f1f5d11", body["alert_url"])
	moved := body["moved"].([]any)[0].(map[string]any)
	require.InDelta(t, 1e-9, moved["adjusted"], 0)
	require.Len(t, moved["bins"], 2)
}

func TestConsole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	of := deps()
	of.Log = slog.New(slog.NewTextHandler(&out, nil))
	table, err := route.New(route.Settings{}, of)
	require.NoError(t, err)
	c, _ := table.Route(route.Console)
	for change, level := range map[alert.Change]string{alert.Raised: "ERROR", alert.Acknowledged: "INFO", alert.Resolved: "INFO"} {
		out.Reset()
		require.NoError(t, c.Deliver(t.Context(), news(change)))
		require.Contains(t, out.String(), "level="+level)
		require.Contains(t, out.String(), "http://mesh/traces/0af7651916cd43dd8448eb211c80319c")
	}
}

// postbox is a small SMTP server: it takes one conversation at a time and refuses
// recipients that begin with "no".
type postbox struct {
	net.Listener
	mails chan string
}

func newPostbox(t *testing.T) *postbox {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &postbox{lis, make(chan string, 10)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			p.talk(conn)
		}
	}()
	t.Cleanup(func() { _ = lis.Close(); <-done })
	return p
}

func (p *postbox) talk(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	say := func(text string) { fmt.Fprint(conn, text+"\r\n") }
	say("220 here")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(line); {
		case strings.HasPrefix(verb, "EHLO"):
			say("250 here")
		case strings.HasPrefix(verb, "RCPT TO:<NO"):
			say("550 5.1.1 nobody of that name")
		case strings.HasPrefix(verb, "DATA"):
			say("354 go on")
			var text strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				text.WriteString(line)
			}
			p.mails <- text.String()
			say("250 taken")
		case strings.HasPrefix(verb, "QUIT"):
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

func TestEmail(t *testing.T) {
	t.Parallel()
	box := newPostbox(t)
	cfg := route.Config{Type: "email", URL: secret("smtp://" + box.Addr().String()), From: "driftmesh@example.com", To: []string{"Ada <ada@example.com>"}}
	require.NoError(t, open(t, cfg).Deliver(t.Context(), news(alert.Raised)))
	m, err := mail.ReadMessage(strings.NewReader(<-box.mails))
	require.NoError(t, err)
	require.Equal(t, "<"+news(alert.Raised).ID+"@example.com>", m.Header.Get("Message-ID"))
	require.Equal(t, "<"+news(alert.Raised).AlertID+"@example.com>", m.Header.Get("References"))
	text, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, m.Body))
	require.NoError(t, err)
	require.Contains(t, string(text), "reference █▁")
	require.Contains(t, string(text), "http://mesh/alerts/")

	cfg.To = []string{"nobody@example.com"}
	err = open(t, cfg).Deliver(t.Context(), news(alert.Raised))
	require.ErrorIs(t, err, fault.Invalid, "a refusal is for good")
	require.Contains(t, fault.Of(err).Message(), "nobody of that name")
	require.NoError(t, box.Close())
	require.ErrorIs(t, open(t, cfg).Deliver(t.Context(), news(alert.Raised)), fault.Unavailable)
}
