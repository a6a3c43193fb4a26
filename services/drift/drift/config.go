package drift

import (
	"errors"
	"fmt"
	"time"
)

// name is how the service calls itself, in tokens and as a group member.
const name = "drift"

// Config is what can be set.
type Config struct {
	Listen   string        `help:"Address for other services." default:"127.0.0.1:50062" placeholder:"HOST:PORT"`
	Refresh  time.Duration `help:"How long a window with new rows waits to be recomputed at first, unless an evaluation needs it sooner. While more rows come it waits longer each time." default:"2s"`
	Grace    time.Duration `help:"How long after a slot of a schedule, or the end of a window, it is evaluated: time for late records." default:"5s"`
	Late     time.Duration `help:"How long after a slot of a schedule it is scored again when data for it come late; 0 is never." default:"168h"`
	Poll     time.Duration `help:"How often to look for work that is due." default:"500ms"`
	Lease    time.Duration `help:"How long a worker may take for one evaluation before another may try." default:"1m"`
	Repeat   time.Duration `help:"How often people hear of an alert that stays; 0 is once." default:"24h"`
	TraceURL string        `help:"Where one trace is seen; {trace} stands for its id." default:"http://127.0.0.1:8000/traces/{trace}" placeholder:"URL"`
	Parallel int           `help:"Batches of touched windows, and of alerts, handled at a time." default:"2"`
	Profiles int           `help:"Profiles kept in memory." default:"1000"`
	Drain    time.Duration `help:"How long work may run on when the service stops." default:"15s"`
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
		{c.Poll > 0, "poll: must be positive"},
		{c.Lease >= time.Second, "lease: must be at least 1s"},
		{c.Repeat >= 0, "repeat: must not be negative"},
		{c.Parallel >= 1, "parallel: must be at least 1"},
		{c.Profiles >= 1, "profiles: must be at least 1"},
		{c.Drain > 0, "drain: must be positive"},
	} {
		if !check.ok {
			errs = append(errs, fmt.Errorf("%s.%s", name, check.problem))
		}
	}
	return errors.Join(errs...)
}
