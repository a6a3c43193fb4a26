// Command ingest-worker stores driftmesh's records.
package main

import (
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/services/ingest-worker/ingest"
)

func main() { process.Main("ingest-worker", ingest.Run) }
