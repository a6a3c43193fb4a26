// Package sdk sends what a program does to driftmesh: spans, and of models and
// agents the values of features, metrics, and the contexts in which they worked.
//
//	client, err := sdk.Init(ctx) // to driftmesh up on this machine, or where DRIFTMESH_URL says
//	…
//	defer client.Shutdown(ctx)
//	ctx, span := sdk.Start(ctx, "price")
//	defer span.End()
//	err = client.Send(ctx, sdk.Features("cellar/wine", sdk.Float("acid", 7.4), sdk.String("colour", "red")))
//
// Init reads options and environment and registers with OpenTelemetry, so that
// every library that knows it makes spans of the client's; [Client.TracerProvider]
// is for those that want to be told. [New] does neither: it makes a client, of which
// there may be several.
//
// # What becomes of what is sent
//
// Spans and records queue, leave in batches in the background, several at a time, and
// go again for as long as it takes until the mesh has them durably; the wait that it
// asks for is kept. They may arrive in another order. Both queues are bounded. Who
// ends a span never waits: one that finds no room is dropped and counted. Send waits
// for room, TrySend does not. [Client.Flush] waits until everything so far is durable,
// and says what was refused; [Client.Shutdown] does so for the last time, and says what
// was lost in the client's life, and why. [Client.Stats] counts, and package sdkmetrics
// and [WithMeterProvider] count for others. Publish sends records at once and waits for
// the answer.
//
// What carries the batches is a [Transport]: gRPC, HTTP, or one of sdk/broker. Spans
// may go to other places too, each with a share of all traces: see [WithOTLP],
// [WithStdout], [WithExporter], [WithSampleRatio].
//
// # Records
//
// A record carries the OpenTelemetry trace context of the ctx it is sent with,
// so that a drift alert leads back to the trace. Each record has an id, of its
// own or the user's, so that sending it again never counts it twice.
//
// Spans are OpenTelemetry's. [Init] sets the provider up; [Do], [Run], [Wrap] and
// [Traced] put one around code, [TracedSeq] and [TracedChan] around streams, with what
// goes in and comes out captured as JSON:
//
//	client, err := sdk.Init(ctx)
//	…
//	price, err := sdk.Do(ctx, "price", func(ctx context.Context) (Price, error) { … }, sdk.Input(order))
//
// [OpenQueue] opens a queue for profiles, which refuses at once what the mesh would,
// and takes a record in without allocating:
//
//	queue, err := sdk.OpenQueue(ctx, map[string]string{"wine": "cellar/wine"})
//	…
//	err = queue.For("wine").Insert(ctx, sdk.Float("acid", 7.4), sdk.String("colour", "red"))
//
// Packages grpctracing and httptracing carry traces over calls, both ways; [Headers]
// and [FromHeaders] do over anything else.
//
// Register registers a profile that package profile made of reference data, and
// says what later records are held against.
//
// Errors from the mesh are gRPC statuses; see [RejectedError], [UnsentError] and
// [LossError] for what happens to single records and spans. Package sdktest has a
// gateway in memory for tests.
package sdk
