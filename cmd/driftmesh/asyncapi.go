package main

import (
	"github.com/driftmesh/driftmesh/internal/asyncapi"
)

type topicsAsyncAPICmd struct{}

// Run writes docs/asyncapi.yaml from the catalogue of topics.
func (topicsAsyncAPICmd) Run(con console) error {
	text, err := asyncapi.Document()
	if err != nil {
		return err
	}
	_, err = con.out.Write(text)
	return err
}
