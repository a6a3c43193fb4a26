package sdk

import (
	"os"

	"go.opentelemetry.io/otel/propagation"
)

// defaultAddress is that of driftmesh up.
const defaultAddress = "127.0.0.1:50051"

// fromEnvironment takes what the environment says.
func (c *config) fromEnvironment() {
	c.address = defaultAddress
	if v := os.Getenv("DRIFTMESH_URL"); v != "" {
		c.address = v
	} else if v := os.Getenv("DRIFTMESH_ADDR"); v != "" {
		c.address = v
	}
	if v := os.Getenv("DRIFTMESH_TOKEN"); v != "" {
		WithToken(v)(c)
	}
	if v := os.Getenv("DRIFTMESH_API_KEY"); v != "" {
		WithAPIKey(v)(c)
	}
	c.noSpans = os.Getenv("OTEL_SDK_DISABLED") == "true"
	c.captureFromEnvironment(os.Getenv)
}

// propagator is what carries contexts across services.
func (c *config) propagator() propagation.TextMapPropagator {
	return Propagator()
}
