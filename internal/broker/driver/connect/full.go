package connect

import (
	"fmt"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// ErrFull says that publishing must wait for the slowest group.
var ErrFull = fmt.Errorf("%w: a group's backlog fills the topic", broker.ErrBackpressure)
