package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Provider is one that the settings name. It is safe for concurrent use.
type Provider struct {
	Name string
	Config
	// Rules say who gets what.
	Rules Rules

	client *http.Client
	keys   *keySet
	flight singleflight.Group
	others bool // at which users log in too

	mu     sync.Mutex
	found  *document
	failed failure
}

// document is what discovery found.
type document struct {
	provider *oidc.Provider
	at       time.Time

	JWKS        string   `json:"jwks_uri"`
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	SaysIssuer  bool     `json:"authorization_response_iss_parameter_supported"`
}

// keepDocument is how long discovery is good. A provider that does not answer then
// is believed to be as it was.
const keepDocument = time.Hour

func newProvider(name string, cfg Config) (*Provider, error) {
	rules, err := NewRules(cfg.Rules)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	client, err := newClient(cfg.CA, loopback(at.Hostname()))
	if err != nil {
		return nil, err
	}
	p := &Provider{Name: name, Config: cfg, Rules: rules, client: client}
	p.keys = &keySet{
		client: client, away: p.away, may: rate.NewLimiter(rate.Every(refetchEvery), refetchBurst),
		url: func(ctx context.Context) (string, error) {
			doc, err := p.discover(ctx)
			if err != nil {
				return "", err
			}
			return doc.JWKS, nil
		},
	}
	return p, nil
}

// SessionLife bounds sessions of its users.
func (p *Provider) SessionLife() time.Duration { return p.sessionLife() }

// away says that the provider cannot be asked.
func (p *Provider) away(cause error) error {
	return fault.Unavailable.Wrap(cause, "the OpenID provider %s (%s) does not answer as it should: nobody can log in there now", p.Name, p.Issuer).
		WithReason("PROVIDER_UNAVAILABLE").WithRetryAfter(retryAfter)
}

// discover finds out where the provider's endpoints are.
func (p *Provider) discover(ctx context.Context) (*document, error) {
	p.mu.Lock()
	found := p.found
	p.mu.Unlock()
	if found != nil && time.Since(found.at) < keepDocument {
		return found, nil
	}
	doc, err, _ := p.flight.Do("", func() (any, error) {
		p.mu.Lock()
		failed := p.failed.recent()
		p.mu.Unlock()
		if failed != nil {
			return nil, failed
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		doc, err := p.ask(ctx)
		if err != nil {
			err = p.away(fmt.Errorf("discover: %w", err))
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.failed.note(err); err == nil {
			p.found = doc
		}
		return doc, err
	})
	if err != nil && found != nil {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	return doc.(*document), nil //nolint:forcetypeassert // our own, above
}

func (p *Provider) ask(ctx context.Context) (*document, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.Issuer)
	if err != nil {
		return nil, err
	}
	doc := &document{provider: provider, at: time.Now()}
	if err := provider.Claims(doc); err != nil {
		return nil, err
	}
	end := provider.Endpoint()
	for what, at := range map[string]string{"jwks_uri": doc.JWKS, "authorization_endpoint": end.AuthURL, "token_endpoint": end.TokenURL} {
		if at == "" && (what == "jwks_uri" || p.ClientID != "") {
			return nil, fmt.Errorf("the provider has no %s", what)
		}
		if u, err := url.Parse(at); at != "" && (err != nil || !secure(u)) {
			return nil, fmt.Errorf("the provider's %s is neither https nor on loopback", what)
		}
	}
	return doc, nil
}

// oauth is the client for the provider's endpoints.
func (p *Provider) oauth(doc *document, redirect string) *oauth2.Config {
	end := doc.provider.Endpoint()
	end.AuthStyle = oauth2.AuthStyleInParams
	// Said outright: to try both ways would use up the code with the first.
	if p.ClientSecret != "" && (len(doc.AuthMethods) == 0 || slices.Contains(doc.AuthMethods, "client_secret_basic")) {
		end.AuthStyle = oauth2.AuthStyleInHeader
	}
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret.Reveal(), Endpoint: end, RedirectURL: redirect, Scopes: p.scopes(),
	}
}

// Begin begins a login with a browser that comes back to redirect. It gives the URL
// to go to, and what ends the login.
func (p *Provider) Begin(ctx context.Context, redirect string) (goTo string, _ Pending, err error) {
	doc, err := p.discover(ctx)
	if err != nil {
		return "", Pending{}, err
	}
	pending := newPending(p.Name)
	pending.Redirect, pending.Nonce, pending.State, pending.Verifier = redirect, random(), random(), oauth2.GenerateVerifier()
	return p.oauth(doc, redirect).AuthCodeURL(pending.State, oidc.Nonce(pending.Nonce), oauth2.S256ChallengeOption(pending.Verifier)), pending, nil
}

// Answer is what the provider sent a browser back with.
type Answer struct{ Code, Issuer, Error string }

// Finish gives who logged in.
func (p *Provider) Finish(ctx context.Context, pending Pending, answer Answer) (Claims, error) {
	doc, err := p.discover(ctx)
	switch {
	case err != nil:
		return Claims{}, err
	// Another provider may not have its codes sent to this one, nor this one's answers
	// pass for another's (RFC 9207).
	case answer.Issuer != "" && answer.Issuer != p.Issuer, answer.Issuer == "" && doc.SaysIssuer:
		return Claims{}, refuse(nil, "ISSUER_MIXED_UP", "the answer is not from the provider that was asked")
	// Where none names itself, each has an address of its own to send browsers back to
	// (RFC 9700, 4.4.2.2).
	case answer.Issuer == "" && p.others && !strings.HasSuffix(pending.Redirect, "/callback/"+p.Name):
		return Claims{}, refuse(nil, "ISSUER_MIXED_UP", "the answer does not say which provider it is from, and there are several here: "+
			"the provider "+p.Name+" needs an address of its own to send browsers back to, …/callback/"+p.Name)
	case answer.Error != "":
		return Claims{}, p.says(answer.Error)
	case answer.Code == "":
		return Claims{}, refuse(nil, "CODE_MISSING", "the provider sent no code")
	}
	token, err := p.oauth(doc, pending.Redirect).Exchange(oidc.ClientContext(ctx, p.client), answer.Code, oauth2.VerifierOption(pending.Verifier))
	if err != nil {
		return Claims{}, p.explain(err)
	}
	return p.claims(ctx, doc, token, pending.Nonce)
}

// says is a login that the provider refused.
func (p *Provider) says(code string) error {
	return fault.Denied.New("the provider %s says: %.100q", p.Name, code).WithReason("PROVIDER_REFUSED")
}

// explain keeps the code of an error of the provider's, and no more: its answer may
// hold what nobody is to see.
func (p *Provider) explain(err error) error {
	if said, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if said.ErrorCode != "" && said.Response.StatusCode < http.StatusInternalServerError {
			return p.says(said.ErrorCode)
		}
		return p.away(errors.New(said.Response.Status))
	}
	return p.away(err)
}

// claims checks what the token endpoint gave, and gives who it is about.
func (p *Provider) claims(ctx context.Context, doc *document, token *oauth2.Token, nonce string) (Claims, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Claims{}, p.away(errors.New("it gave no ID token"))
	}
	claims, id, err := p.verify(ctx, raw, check{audiences: []string{p.ClientID}, party: p.ClientID, nonce: nonce})
	if err != nil {
		return Claims{}, err
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return Claims{}, refuse(err, "TOKEN_SIGNATURE_INVALID", "the access token does not belong to the ID token")
		}
	}
	if !p.UserInfo {
		return claims, nil
	}
	info, err := doc.provider.UserInfo(oidc.ClientContext(ctx, p.client), oauth2.StaticTokenSource(token))
	if err != nil {
		return Claims{}, p.away(fmt.Errorf("userinfo: %w", err))
	}
	if info.Subject != claims.Subject { // it must be the same (OpenID Connect Core, 5.3.2)
		return Claims{}, refuse(nil, "TOKEN_SUBJECT_INVALID", "the provider's user information is about somebody else")
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return Claims{}, p.away(fmt.Errorf("userinfo: %w", err))
	}
	for name, value := range more {
		if _, signed := claims.All[name]; !signed {
			claims.All[name] = value
		}
	}
	return claims, nil
}

// Device is a login that is approved with a browser somewhere else.
type Device struct {
	Code     string    `json:"device_code"`
	UserCode string    `json:"user_code"`
	URI      string    `json:"verification_uri"`
	Complete string    `json:"verification_uri_complete"`
	Life     int       `json:"expires_in"`
	Interval int       `json:"interval"`
	Ends     time.Time `json:"-"`
}

const (
	// defaultInterval and longestInterval are seconds between polls (RFC 8628, 3.2).
	defaultInterval, longestInterval = 5, 60
	deviceGrant                      = "urn:ietf:params:oauth:grant-type:device_code"
)

// BeginDevice begins one. The library's own way neither shows who the client is nor
// ends with the context.
func (p *Provider) BeginDevice(ctx context.Context) (Device, Pending, error) {
	doc, err := p.discover(ctx)
	if err != nil {
		return Device{}, Pending{}, err
	}
	o := p.oauth(doc, "")
	if o.Endpoint.DeviceAuthURL == "" {
		return Device{}, Pending{}, fault.Precondition.New("the provider %s has no device flow", p.Name).WithReason("PROVIDER_NO_DEVICE_FLOW")
	}
	form := url.Values{"client_id": {o.ClientID}, "scope": {strings.Join(o.Scopes, " ")}}
	if o.Endpoint.AuthStyle == oauth2.AuthStyleInParams && o.ClientSecret != "" {
		form.Set("client_secret", o.ClientSecret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.Endpoint.DeviceAuthURL, strings.NewReader(form.Encode()))
	if err != nil {
		return Device{}, Pending{}, p.away(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if o.Endpoint.AuthStyle == oauth2.AuthStyleInHeader {
		req.SetBasicAuth(url.QueryEscape(o.ClientID), url.QueryEscape(o.ClientSecret))
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return Device{}, Pending{}, p.away(err)
	}
	defer resp.Body.Close()
	var d Device
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("device authorization: %s", resp.Status)
	}
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(raw)).Decode(&d)
	}
	if err == nil && (d.Code == "" || d.UserCode == "" || !web(d.URI) || d.Complete != "" && !web(d.Complete)) {
		err = errors.New("device authorization: the answer is not whole")
	}
	if err != nil {
		return Device{}, Pending{}, p.away(err)
	}
	if d.Interval <= 0 || d.Interval > longestInterval {
		d.Interval = defaultInterval
	}
	pending := newPending(p.Name)
	pending.Device = d.Code
	pending.Ends = min(pending.Ends, time.Now().Add(time.Duration(max(d.Life, 1))*time.Second).Unix())
	d.Ends = time.Unix(pending.Ends, 0)
	return d, pending, nil
}

// web reports whether a text is the URL of a page to which a user may be sent.
func web(text string) bool {
	u, err := url.Parse(text)
	return err == nil && secure(u)
}

// Poll asks once whether a login was approved; done is false while it is not, and
// slower then when the provider wants to be asked less often.
func (p *Provider) Poll(ctx context.Context, pending Pending) (_ Claims, done, slower bool, err error) {
	doc, err := p.discover(ctx)
	if err != nil {
		return Claims{}, false, false, err
	}
	token, err := p.oauth(doc, "").Exchange(oidc.ClientContext(ctx, p.client), "",
		oauth2.SetAuthURLParam("grant_type", deviceGrant), oauth2.SetAuthURLParam("device_code", pending.Device))
	if said, ok := errors.AsType[*oauth2.RetrieveError](err); ok && slices.Contains([]string{"authorization_pending", "slow_down"}, said.ErrorCode) {
		return Claims{}, false, said.ErrorCode == "slow_down", nil
	}
	if err != nil {
		return Claims{}, false, false, p.explain(err)
	}
	claims, err := p.claims(ctx, doc, token, "")
	return claims, err == nil, false, err
}

// Exchange gives who a workload is that shows a token of the provider.
func (p *Provider) Exchange(ctx context.Context, token string) (Claims, error) {
	if _, err := p.discover(ctx); err != nil {
		return Claims{}, err
	}
	claims, _, err := p.verify(ctx, token, check{audiences: p.Audiences})
	return claims, err
}
