package oidc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"

	"github.com/driftmesh/driftmesh/test/server"
)

// Browser does what a person with a browser does: it keeps cookies, follows redirects,
// and fills in the provider's forms.
type Browser struct {
	Client *http.Client
	t      server.T
}

// NewBrowser makes one without cookies.
func NewBrowser(t server.T) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatalf("browser: %v", err)
	}
	return &Browser{Client: &http.Client{Jar: jar, Timeout: time.Minute}, t: t}
}

// Page is what the browser shows.
type Page struct {
	URL    *url.URL
	Status int
	Body   string
}

// maxSteps is how many forms a login may have.
const maxSteps = 8

// Walk goes to an address and fills in the provider's forms as login, until it is at a
// page that has none of the provider's, or until stop says so of an address to go to,
// where it does not go.
func (b *Browser) Walk(at, login string, stop func(*url.URL) bool) Page {
	b.t.Helper()
	var stopped *url.URL
	b.Client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if stop != nil && stop(req.URL) {
			stopped = req.URL
			return http.ErrUseLastResponse
		}
		if len(via) > 12 {
			return fmt.Errorf("too many redirects")
		}
		return nil
	}
	page := b.do(http.MethodGet, at, nil)
	for range maxSteps {
		if stopped != nil {
			return Page{URL: stopped, Status: page.Status, Body: page.Body}
		}
		action, fields := form(page)
		if action == "" {
			return page
		}
		if _, asks := fields["login"]; asks {
			fields.Set("login", login)
			fields.Set("password", "anything")
		}
		page = b.do(http.MethodPost, action, fields)
	}
	b.t.Fatalf("browser: the login has no end: %s", page.Body)
	return page
}

// Get shows a page and goes where it sends the browser.
func (b *Browser) Get(at string) Page {
	b.t.Helper()
	b.Client.CheckRedirect = nil
	return b.do(http.MethodGet, at, nil)
}

func (b *Browser) do(method, at string, fields url.Values) Page {
	b.t.Helper()
	var body io.Reader
	if fields != nil {
		body = strings.NewReader(fields.Encode())
	}
	req, err := http.NewRequestWithContext(context.Background(), method, at, body)
	if err != nil {
		b.t.Fatalf("browser: %v", err)
	}
	if fields != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.Client.Do(req)
	if err != nil {
		b.t.Fatalf("browser: %v", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		b.t.Fatalf("browser: %v", err)
	}
	return Page{URL: resp.Request.URL, Status: resp.StatusCode, Body: string(raw)}
}

// form is the first form of a page that is to be posted: where to, and its fields.
func form(page Page) (action string, fields url.Values) {
	doc, err := html.Parse(strings.NewReader(page.Body))
	if err != nil {
		return "", nil
	}
	var walk func(n *html.Node, in bool)
	walk = func(n *html.Node, in bool) {
		if n.Type == html.ElementNode && n.Data == "form" && action == "" && strings.EqualFold(attr(n, "method"), "post") {
			if to, err := page.URL.Parse(attr(n, "action")); err == nil {
				action, fields, in = to.String(), url.Values{}, true
			}
		}
		if in && n.Type == html.ElementNode && (n.Data == "input" || n.Data == "button") && attr(n, "name") != "" && attr(n, "name") != "abort" {
			fields.Set(attr(n, "name"), attr(n, "value"))
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, in)
		}
	}
	walk(doc, false)
	return action, fields
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
