package records

import (
	"github.com/driftmesh/driftmesh/internal/record"
)

// Limits bounds what the door takes in. Zero fields take the defaults.
type Limits struct {
	record.Limits `embed:""`
	Outstanding   int `help:"Unanswered batches of one stream; no further one is read meanwhile." default:"16"`
}
