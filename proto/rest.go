// Package proto is the contract of the mesh; its parts are in the folders below.
package proto

import _ "embed"

// REST is rest.yaml: which method each REST route stands for.
//
//go:embed rest.yaml
var REST []byte
