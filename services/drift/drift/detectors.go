package drift

import (
	"github.com/driftmesh/driftmesh/internal/detect"
	"github.com/driftmesh/driftmesh/services/drift/internal/score"
)

// Detectors lists the detectors that a monitor can have.
func Detectors() []*detect.Detector { return score.Detectors() }

// Unusable says why no monitor can have a detector; "" when one can.
func Unusable(d *detect.Detector) string { return score.Unusable(d) }
