package drift

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/services/drift/internal/route"
)

// name is how the service calls itself, in tokens and as a group member.
const name = "drift"

// Config is what can be set.
type Config struct {
	Listen       string        `help:"Address for other services." default:"127.0.0.1:50062" placeholder:"HOST:PORT"`
	Refresh      time.Duration `help:"How long a window with new rows waits to be recomputed at first, unless an evaluation needs it sooner. While more rows come it waits longer each time." default:"2s"`
	Grace        time.Duration `help:"How long after a slot of a schedule, or the end of a window, it is evaluated: time for late records." default:"3s"`
	Late         time.Duration `help:"How long after a slot of a schedule it is scored again when data for it come late; 0 is never." default:"168h"`
	Silence      time.Duration `help:"How long no data must come for a profile, whose data had been coming, to raise an alert; longer where they pause for longer: twice the longest pause of four weeks. 0 is never." default:"1h"`
	Unfed        time.Duration `help:"How long an active profile may have no data at all, before there is an alert; 0 is for ever." default:"24h"`
	Insufficient int           `help:"How many scheduled evaluations in a row with too little to judge by raise an alert; 0 is never." default:"24"`
	TraceWait    time.Duration `help:"How long the checks of a record wait for its trace to come, and to be whole." default:"2m"`
	Poll         time.Duration `help:"How often to look for work that is due." default:"500ms"`
	Lease        time.Duration `help:"How long a worker may take for one evaluation before another may try." default:"1m"`
	Repeat       time.Duration `help:"How often people hear of an alert that stays; 0 is once." default:"24h"`
	TraceURL     string        `help:"Where one trace is seen; {trace} stands for its id." default:"http://127.0.0.1:8000/traces/{trace}" placeholder:"URL"`
	AlertURL     string        `help:"Where one alert is seen; {alert} stands for its id." default:"http://127.0.0.1:8000/alerts/{alert}" placeholder:"URL"`

	Routes        settings.Tree[map[string]route.Config] `help:"Where alerts go, by name, beside the route console to the log (docs/alerts.md)." placeholder:"YAML"`
	Rules         settings.Tree[[]route.Rule]            `help:"Which alerts go to which routes, beside those that their monitors name (docs/alerts.md)." placeholder:"YAML"`
	DefaultRoutes []string                               `help:"Routes of alerts that no monitor and no rule leads anywhere; none is all." placeholder:"NAME"`
	Keep          time.Duration                          `help:"How long it is tried to tell of an alert on a route." default:"168h"`

	Abreast  int           `help:"Profiles evaluated at a time, and as many recomputed, and scored again for late data; 0 is as many as there are cores." default:"0"`
	Queries  int           `help:"Calls that compute, such as evaluations of a range, backtests and explanations, at a time; further ones wait for the turn of their tenant." default:"4"`
	Parallel int           `help:"Batches of touched windows, and of alerts, handled at a time." default:"2"`
	Profiles int           `help:"Profiles kept in memory." default:"1000"`
	Drain    time.Duration `help:"How long work may run on when the service stops." default:"15s"`
}

// maxAbreast bounds how much a worker may ask of the engine at a time.
const maxAbreast = 64

// abreast is how many pieces of work of one kind are done at a time.
func (c Config) abreast() int {
	if c.Abreast > 0 {
		return c.Abreast
	}
	return min(runtime.GOMAXPROCS(0), maxAbreast)
}

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	var errs []error
	for _, check := range []struct {
		ok      bool
		problem string
	}{
		{c.Refresh >= 0, "refresh: must not be negative"},
		{c.Grace >= 0, "grace: must not be negative"},
		{c.Late >= 0, "late: must not be negative"},
		{c.Silence >= 0, "silence: must not be negative"},
		{c.Unfed >= 0, "unfed: must not be negative"},
		{c.Insufficient >= 0 && c.Insufficient <= 10_000, "insufficient: must be from 0 to 10000"},
		{c.TraceWait >= 0, "trace-wait: must not be negative"},
		{c.Poll > 0, "poll: must be positive"},
		{c.Lease >= time.Second, "lease: must be at least 1s"},
		{c.Repeat >= 0, "repeat: must not be negative"},
		{c.Abreast >= 0 && c.Abreast <= maxAbreast, fmt.Sprintf("abreast: must be from 0 to %d", maxAbreast)},
		{c.Queries >= 0, "queries: must not be negative"},
		{c.Parallel >= 1, "parallel: must be at least 1"},
		{c.Profiles >= 1, "profiles: must be at least 1"},
		{c.Drain > 0, "drain: must be positive"},
		{c.Keep >= time.Minute, "keep: must be at least 1m"},
	} {
		if !check.ok {
			errs = append(errs, fmt.Errorf("%s.%s", name, check.problem))
		}
	}
	if _, err := c.routes(route.Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now}); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// routes makes the routes. The error names every setting that cannot work.
func (c Config) routes(deps route.Deps) (*route.Table, error) {
	deps.TraceURL, deps.AlertURL = c.TraceURL, c.AlertURL
	table, err := route.New(route.Settings{Routes: c.Routes.Value, Rules: c.Rules.Value, Default: c.DefaultRoutes}, deps)
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, one := range joined.Unwrap() {
			errs = append(errs, fmt.Errorf("%s.%w", name, one))
		}
		return nil, errors.Join(errs...)
	}
	return table, err
}
