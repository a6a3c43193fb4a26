// Program drift holds what models learned against what they meet.
package main

import (
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/services/drift/drift"
)

func main() { process.Main("drift", drift.Run) }
