package route

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// What a webhook is signed with: at least so many bytes.
const (
	webhookSecret = 24
	webhookPrefix = "whsec_"
)

// webhook is the Route to a service of anybody's, signed as Standard Webhooks
// has it (standardwebhooks.com): the header webhook-signature is
//
//	v1,BASE64(HMAC-SHA256(secret, webhook-id "." webhook-timestamp "." body))
//
// A receiver computes the same over the bytes of the body, compares in constant
// time, refuses a timestamp (seconds since 1970) that is more than five minutes
// off its clock, and drops a webhook-id that it knows: the id is the event's,
// the same at every attempt, and the timestamp that of the attempt.
type webhook struct {
	to     *poster
	secret []byte
	links  links
}

func newWebhook(cfg Config, deps Deps) (Route, error) {
	secret, err := webhookKey(cfg.Secret.Reveal())
	if err != nil {
		return nil, err
	}
	to, err := newPoster(cfg, deps.Now, cfg.Secret.Reveal())
	return webhook{to, secret, deps.links()}, err
}

// webhookKey reads a secret: "whsec_" and base64, or any other text as it is.
func webhookKey(text string) ([]byte, error) {
	key := []byte(text)
	if encoded, ok := strings.CutPrefix(text, webhookPrefix); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("secret: is not base64 behind whsec_")
		}
	}
	if len(key) < webhookSecret {
		return nil, errors.New("secret: must be at least 24 bytes long, to sign what is sent")
	}
	return key, nil
}

// webhookBody is what is sent.
type webhookBody struct {
	Type string `json:"type"` // drift.raised and so on
	alert.Event
	Text     string   `json:"text"`
	Details  string   `json:"details"`
	AlertURL string   `json:"alert_url,omitempty"`
	Links    []string `json:"trace_urls,omitempty"`
}

// Deliver implements Route.
func (w webhook) Deliver(ctx context.Context, e *alert.Event) error {
	body, err := json.Marshal(webhookBody{
		Type: "drift." + string(e.Change), Event: *e, Text: e.Text(), Details: e.Details(), AlertURL: w.links.page(e), Links: w.links.traces(e),
	})
	if err != nil {
		return fault.Internal.Wrap(err, "the event cannot be encoded")
	}
	at := strconv.FormatInt(w.to.now().Unix(), 10)
	return w.to.send(ctx, "", http.Header{
		"Webhook-Id": {e.ID}, "Webhook-Timestamp": {at}, "Webhook-Signature": {sign(w.secret, e.ID, at, body)},
	}, body)
}

func sign(secret []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
