package grpcmetrics_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/grpcmetrics"
)

func Example() {
	calls := grpcmetrics.New(grpcmetrics.Config{HandlingTime: true})
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(calls)
	client, err := sdk.New("127.0.0.1:50051", sdk.WithDialOptions(calls.DialOptions()...))
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(families), "families: nothing was called yet")
	// Output: 0 families: nothing was called yet
}
