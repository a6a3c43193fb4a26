package oidc

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/settings"
)

// Config is one provider.
type Config struct {
	// Issuer is the URL below which the provider's .well-known is.
	Issuer string `yaml:"issuer"`
	// ClientID and ClientSecret are what the provider knows this mesh by. Without an
	// id users cannot log in, and tokens are exchanged alone; without a secret the
	// client is a public one.
	ClientID     string          `yaml:"client-id"`
	ClientSecret settings.Secret `yaml:"client-secret"`
	// Scopes are what is asked for; openid, profile and email when not given.
	Scopes []string `yaml:"scopes"`
	// Redirect is where browsers come back to: the gateway's public address with the
	// path CallbackPath, where there are several providers followed by the name of this
	// one. Without it users log in with the command line alone.
	Redirect string `yaml:"redirect"`
	// Audiences are those for which the provider's tokens are exchanged for ours.
	Audiences []string `yaml:"audiences"`
	// UserInfo asks the provider for what it does not put into ID tokens.
	UserInfo bool `yaml:"userinfo"`
	// CA is a PEM file of the authorities of its certificate; the system's when not
	// given.
	CA string `yaml:"ca"`
	// SessionLife bounds a session that began there; 12 h when not given. What the
	// provider says is asked for again then.
	SessionLife time.Duration `yaml:"session-life"`
	// Rules say who gets what, by the first that matches.
	Rules []Rule `yaml:"rules"`
}

// CallbackPath is that of the gateway's route to which browsers come back.
const CallbackPath = "/login/callback"

// defaultSessionLife is a working day, with its evening.
const defaultSessionLife = 12 * time.Hour

func (c Config) sessionLife() time.Duration { return cmp.Or(c.SessionLife, defaultSessionLife) }

func (c Config) scopes() []string {
	if len(c.Scopes) == 0 {
		return []string{"openid", "profile", "email"}
	}
	return c.Scopes
}

// Configs are the providers by name.
type Configs map[string]Config

// Names are sorted.
func (c Configs) Names() []string { return slices.Sorted(maps.Keys(c)) }

// Check reports every mistake, named by its setting.
func (c Configs) Check(setting string) error {
	var errs []error
	issuers := map[string]string{}
	for _, name := range c.Names() {
		at, one := setting+"."+name, c[name]
		if !goodName(name) {
			errs = append(errs, fmt.Errorf("%s: a provider's name has 1 to 32 of a-z, 0-9 and \"-\"", at))
		}
		if other := issuers[one.Issuer]; other != "" {
			errs = append(errs, fmt.Errorf("%s.issuer: is that of %s", at, other))
		}
		issuers[one.Issuer] = name
		errs = append(errs, one.check(at, name))
	}
	return errors.Join(errs...)
}

func (c Config) check(at, name string) error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(at+"."+field+": "+format, args...))
	}
	if u, err := url.Parse(c.Issuer); err != nil || !secure(u) || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		bad("issuer", "want https://…, or http:// on loopback, without a query")
	}
	if c.ClientID == "" && len(c.Audiences) == 0 {
		bad("client-id", "users need one to log in, and workloads need audiences: there is neither")
	}
	if c.ClientID == "" && (c.ClientSecret != "" || c.Redirect != "" || c.UserInfo) {
		bad("client-id", "is missing")
	}
	if slices.Contains(c.Audiences, "") {
		bad("audiences", "one is empty")
	}
	if len(c.Scopes) > 0 && !slices.Contains(c.Scopes, "openid") {
		bad("scopes", "openid must be among them")
	}
	if u, err := url.Parse(c.Redirect); c.Redirect != "" && (err != nil || !secure(u) || u.Path != CallbackPath && u.Path != CallbackPath+"/"+name || u.RawQuery != "" || u.Fragment != "") {
		bad("redirect", "want the gateway's address as browsers know it and %s or %s/%s, such as https://mesh.example.com%s; http:// on loopback alone",
			CallbackPath, CallbackPath, name, CallbackPath)
	}
	if c.SessionLife < 0 {
		bad("session-life", "must not be negative")
	}
	if len(c.Rules) == 0 {
		bad("rules", "there are none: nobody would be let in")
	}
	for i, r := range c.Rules {
		if err := r.check(); err != nil {
			bad(fmt.Sprintf("rules[%d]", i), "%w", err)
		}
	}
	return errors.Join(errs...)
}

func goodName(name string) bool {
	return name != "" && len(name) <= 32 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

// secure reports whether others on the way can neither read nor change what is
// sent to a URL.
func secure(u *url.URL) bool {
	return u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()))
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
