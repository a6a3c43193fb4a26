package route

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/services/drift/internal/alert"
)

// Config is one route, as the settings have it. Which fields a route needs
// depends on its type.
type Config struct {
	// Type is the kind of service: console, slack, pagerduty, opsgenie,
	// alertmanager, webhook or email.
	Type string `yaml:"type"`
	// URL is where it is; pagerduty and opsgenie have one of their own.
	URL settings.Secret `yaml:"url"`
	// PlainHTTP allows http to another machine, and email without TLS.
	PlainHTTP bool `yaml:"plain-http"`
	// Key is what pagerduty and opsgenie know the caller by.
	Key settings.Secret `yaml:"key"`
	// Secret is what a webhook is signed with.
	Secret settings.Secret `yaml:"secret"`
	// Timeout bounds one attempt.
	Timeout time.Duration `yaml:"timeout"`
	// Refresh is how often alertmanager is told what is open, and Expire when it
	// takes for resolved what it was not told of.
	Refresh time.Duration `yaml:"refresh"`
	Expire  time.Duration `yaml:"expire"`
	// From and To are addresses of email.
	From string   `yaml:"from"`
	To   []string `yaml:"to"`
}

// Bounds and default of Timeout. Whoever sends holds a delivery for longer than
// that (package notify).
const (
	defaultTimeout = 10 * time.Second
	MaxTimeout     = time.Minute
)

func (c *Config) timeout() time.Duration {
	if c.Timeout == 0 {
		return defaultTimeout
	}
	return c.Timeout
}

func (c *Config) defaultURL(url settings.Secret) {
	if c.URL == "" {
		c.URL = url
	}
}

// kinds make routes, by type. Each reports what is missing in its settings.
var kinds = map[string]func(Config, Deps) (Route, error){
	"console": newConsole, "slack": newSlack, "pagerduty": newPagerDuty, "opsgenie": newOpsGenie, "alertmanager": newAlertmanager,
	"webhook": newWebhook, "email": newEmail,
}

// Console is the name of the route to the log, which there always is.
const Console = "console"

// Rule leads the events that it matches to routes.
type Rule struct {
	Match  alert.Match `yaml:"match"`
	Routes []string    `yaml:"routes"`
}

// Settings are everything that is set about routes.
type Settings struct {
	Routes  map[string]Config
	Rules   []Rule
	Default []string
}

// Table finds the routes of events. It is immutable.
type Table struct {
	routes   map[string]Route
	timeouts map[string]time.Duration
	rules    []Rule
	others   []string
}

// New makes all routes. The error names every setting that cannot work.
func New(s Settings, deps Deps) (*Table, error) {
	t := &Table{routes: map[string]Route{}, timeouts: map[string]time.Duration{}, rules: s.Rules, others: s.Default}
	var errs []error
	configs := maps.Clone(s.Routes)
	if configs == nil {
		configs = map[string]Config{}
	}
	if _, ok := configs[Console]; !ok {
		configs[Console] = Config{Type: "console"}
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		c := configs[name]
		made, err := c.make(name, deps)
		if err != nil {
			errs = append(errs, fmt.Errorf("routes.%s.%w", name, err))
			continue
		}
		t.routes[name], t.timeouts[name] = made, c.timeout()
	}
	errs = append(errs, t.check(configs)...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

func (c Config) make(name string, deps Deps) (Route, error) {
	kind := kinds[c.Type]
	switch {
	case name == "" || len(name) > 64 || strings.Trim(name, nameLetters) != "":
		return nil, errors.New("name: must be 1 to 64 of letters, digits, \"-\", \"_\", \".\"")
	case kind == nil:
		return nil, fmt.Errorf("type: is %.50q, want one of %s", c.Type, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	case c.Timeout < 0 || c.Timeout > MaxTimeout:
		return nil, fmt.Errorf("timeout: must be positive and at most %s", MaxTimeout)
	}
	return kind(c, deps)
}

// check looks through rules and default.
func (t *Table) check(configs map[string]Config) (errs []error) {
	unknown := func(where string, names []string) {
		for _, name := range names {
			if _, ok := configs[name]; !ok {
				errs = append(errs, fmt.Errorf("%s: there is no route %.100q, but %s", where, name, strings.Join(slices.Sorted(maps.Keys(configs)), ", ")))
			}
		}
	}
	for i, r := range t.rules {
		where := fmt.Sprintf("rules.%d", i+1)
		if err := r.Match.Check(); err != nil {
			errs = append(errs, fmt.Errorf("%s.match.%w", where, err))
		}
		if len(r.Routes) == 0 {
			errs = append(errs, fmt.Errorf("%s.routes: must name at least one", where))
		}
		unknown(where+".routes", r.Routes)
	}
	unknown("default-routes", t.others)
	return errs
}

// Names are the names of all routes, in order.
func (t *Table) Names() []string { return slices.Sorted(maps.Keys(t.routes)) }

// Route is the route of that name, nil when there is none, and how long an
// attempt may take.
func (t *Table) Route(name string) (Route, time.Duration) { return t.routes[name], t.timeouts[name] }

// For names the routes of an event, in order: those that its monitor names and
// those of every rule that matches; where that is none, the default; and where
// there is no default either, all. Names of routes that there are not are passed
// over: better told elsewhere than to nobody.
func (t *Table) For(e *alert.Event) []string {
	chosen := t.known(e.Routes)
	for _, r := range t.rules {
		if r.Match.Any(e) {
			chosen = append(chosen, r.Routes...)
		}
	}
	if len(chosen) == 0 {
		chosen = slices.Clone(t.others)
	}
	if len(chosen) == 0 {
		chosen = t.Names()
	}
	slices.Sort(chosen)
	return slices.DeleteFunc(slices.Compact(chosen), func(name string) bool {
		c, ok := t.routes[name].(Choosy)
		return ok && !c.Wants(e.Change)
	})
}

func (t *Table) known(names []string) []string {
	var out []string
	for _, name := range names {
		if t.routes[name] != nil {
			out = append(out, name)
		}
	}
	return out
}
