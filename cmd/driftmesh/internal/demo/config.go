package demo

import (
	"errors"
	"time"

	"github.com/driftmesh/driftmesh/internal/settings"
)

// Bounds of the rate. Below the lower one a minute holds too few records to be
// judged (see minSample); above the upper one it is no demo any more.
const (
	minRate = 4
	maxRate = 1000
)

// Config is what can be set.
type Config struct {
	Rate     int             `help:"Requests per second." default:"5"`
	History  time.Duration   `help:"How much of the past to fill in first." default:"10m"`
	Calm     time.Duration   `help:"How long live requests follow the reference before they drift." default:"20s"`
	Duration time.Duration   `help:"Stop by itself after this; 0 is never." default:"0"`
	APIKey   settings.Secret `help:"API key of the shop, for a mesh that lets nobody in without credentials; file:PATH reads it from a file." name:"api-key"`
}

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.Rate < minRate || c.Rate > maxRate {
		errs = append(errs, errors.New("demo.rate: must be from 4 to 1000"))
	}
	if c.History < 0 || c.History > 24*time.Hour {
		errs = append(errs, errors.New("demo.history: must be from 0 to 24h"))
	}
	if c.Calm < 0 {
		errs = append(errs, errors.New("demo.calm: must not be negative"))
	}
	if c.Duration < 0 {
		errs = append(errs, errors.New("demo.duration: must not be negative"))
	}
	return errors.Join(errs...)
}
