// Command auth serves driftmesh's accounts: who may call, and as whom.
package main

import (
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/services/auth/auth"
)

func main() { process.Main("auth", auth.Run) }
