// Gateway is the public door of the mesh as a program of its own.
package main

import (
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/services/gateway/gateway"
)

func main() { process.Main("gateway", gateway.Run) }
