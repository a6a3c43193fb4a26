// Package openapi holds the OpenAPI description of the REST API, generated from
// the protos.
package openapi

import _ "embed"

// Document is the description as JSON. It must not be changed.
//
//go:embed driftmesh.swagger.json
var Document []byte
