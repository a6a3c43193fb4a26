package sdk_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/driftmesh/driftmesh/sdk"
)

// A mesh takes spans over HTTP too; here a server stands for it, which takes anything.
func ExampleInit() {
	mesh := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer mesh.Close()

	ctx := context.Background()
	client, err := sdk.Init(ctx, sdk.WithAddress(mesh.URL), sdk.WithServiceName("shop")) // sdk.Init(ctx) alone sends to driftmesh up
	if err != nil {
		log.Fatal(err)
	}
	_, span := otel.Tracer("shop/pricing").Start(ctx, "price")
	span.End()
	if err := client.Shutdown(ctx); err != nil {
		log.Fatal(err) // says how much was lost, and why
	}
	fmt.Println(client.Stats().Spans.Accepted, "span is durable")
	// Output: 1 span is durable
}

// Every span goes to the mesh, and a tenth of all traces to another exporter as well:
// with WithOTLP to a collector, here to memory, as a test would.
func ExampleWithExporter() {
	mesh := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer mesh.Close()

	memory := tracetest.NewInMemoryExporter()
	client, err := sdk.New(mesh.URL, sdk.WithExporter("memory", 0.1, memory))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	for range 1000 {
		_, span := client.TracerProvider().Tracer("shop").Start(ctx, "price")
		span.End()
	}
	if err := client.Flush(ctx); err != nil {
		log.Fatal(err)
	}
	few := len(memory.GetSpans())
	fmt.Println(client.Stats().Spans.Accepted, "to the mesh; about a tenth to memory:", few > 50 && few < 150)
	if err := client.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: 1000 to the mesh; about a tenth to memory: true
}
