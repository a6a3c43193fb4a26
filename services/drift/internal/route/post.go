package route

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Bounds of an answer.
const (
	maxAnswer    = 64 << 10 // read at most
	maxLine      = 200      // kept of its first line
	maxHeader    = 32 << 10
	maxRetryHint = time.Hour // a service that asks for longer is asked again after this
)

// poster sends JSON to one service. It never follows a redirect: what it sends
// holds secrets, and the other host was not configured.
type poster struct {
	base    *url.URL
	client  *http.Client
	now     func() time.Time
	secrets []string // never to be seen in an error
}

// newPoster makes a poster for a base URL. secrets are hidden wherever a service
// repeats them, and so is what of the URL may be one.
func newPoster(cfg Config, now func() time.Time, secrets ...string) (*poster, error) {
	base, err := address(cfg)
	if err != nil {
		return nil, err
	}
	p := &poster{base: base, now: now, secrets: append(secrets, cfg.URL.Reveal(), base.String(), base.RequestURI())}
	p.secrets = append(p.secrets, strings.Split(base.Path, "/")...)
	if base.User != nil {
		password, _ := base.User.Password()
		p.secrets = append(p.secrets, password)
	}
	dialer := &net.Dialer{Timeout: cfg.timeout()}
	p.client = &http.Client{
		Timeout: cfg.timeout(), // the answer's body included
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: cfg.timeout(),
			MaxResponseHeaderBytes: maxHeader, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p, nil
}

// address is the URL of a route, if it may be used: https, or http to this
// machine or where that was allowed.
func address(cfg Config) (*url.URL, error) {
	u, err := url.Parse(cfg.URL.Reveal())
	switch {
	case cfg.URL == "":
		return nil, errors.New("url: must be given")
	case err != nil || u.Host == "":
		return nil, errors.New("url: is no URL of the form https://HOST/PATH") // it is not quoted: it may be a secret
	case u.Scheme == "https", u.Scheme == "http" && (cfg.PlainHTTP || loopback(u.Hostname())):
		return u, nil
	case u.Scheme == "http":
		return nil, errors.New("url: is not https; plain-http: true allows that")
	}
	return nil, fmt.Errorf("url: its scheme is %.20q, want https", u.Scheme)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// post sends a value as JSON to a path below the base; "" is the base itself.
func (p *poster) post(ctx context.Context, path string, header http.Header, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fault.Internal.Wrap(err, "the event cannot be encoded")
	}
	return p.send(ctx, path, header, body)
}

func (p *poster) send(ctx context.Context, path string, header http.Header, body []byte) error {
	to := *p.base
	if path != "" {
		way, query, _ := strings.Cut(path, "?")
		to = *p.base.JoinPath(way)
		to.RawQuery = query
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return fault.Invalid.New("the request cannot be made")
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "driftmesh")
	resp, err := p.client.Do(req)
	if err != nil {
		return p.unreachable(err)
	}
	defer resp.Body.Close()
	// What it has to say beyond its status is for people; when it breaks off, the
	// status holds.
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return p.judge(resp, text)
}

// unreachable is the fault of a service that did not answer. The URL, which
// net/http puts into its errors, is left out.
func (p *poster) unreachable(err error) error {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		if inner.Timeout() {
			return fault.Timeout.New("%s did not answer in time", p.base.Host)
		}
		err = inner.Err
	}
	return fault.Unavailable.New("%s cannot be reached: %s", p.base.Host, p.hide(err.Error()))
}

// judge says what an answer means.
func (p *poster) judge(resp *http.Response, text []byte) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	says := fmt.Sprintf("%s answered %d", p.base.Host, resp.StatusCode)
	if line := p.hide(firstLine(text)); line != "" {
		says += ": " + line
	}
	switch code := resp.StatusCode; {
	case code == http.StatusTooManyRequests:
		return fault.Exhausted.New("%s", says).WithRetryAfter(p.retryAfter(resp))
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooEarly:
		return fault.Unavailable.New("%s", says).WithRetryAfter(p.retryAfter(resp))
	case code >= 300 && code < 400:
		return fault.Invalid.New("%s; redirects are not followed", says)
	}
	return fault.Invalid.New("%s", says)
}

// retryAfter reads the header of that name: seconds, or a time.
func (p *poster) retryAfter(resp *http.Response) time.Duration {
	text := strings.TrimSpace(resp.Header.Get("Retry-After"))
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(p.now())
	}
	return min(max(wait, 0), maxRetryHint)
}

// hide leaves secrets out of a text. What is shorter than this is no secret, and
// is found everywhere.
func (p *poster) hide(text string) string {
	const shortest = 6
	for _, secret := range p.secrets {
		if len(secret) >= shortest {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// firstLine is the first line of an answer that says something, short and
// printable.
func firstLine(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(string(text), "")), "\n")
	line = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, line)
	return clip(line, maxLine)
}

// clip cuts a text to so many letters, and shows where.
func clip(text string, limit int) string {
	letters := []rune(text)
	if len(letters) <= limit {
		return text
	}
	return string(letters[:limit-1]) + "…"
}

// fill puts an id in its place in a URL.
func fill(address, place, id string) string {
	return strings.ReplaceAll(address, place, url.PathEscape(id))
}
