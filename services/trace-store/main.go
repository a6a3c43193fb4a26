// Command trace-store writes spans to ClickHouse and answers questions about
// them.
package main

import (
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/services/trace-store/tracestore"
)

func main() { process.Main("trace-store", tracestore.Run) }
