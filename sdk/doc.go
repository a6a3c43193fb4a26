// Package sdk sends what a model or an agent does to driftmesh: the values of
// its features, its metrics, and the contexts in which it worked.
//
//	client, err := sdk.New("127.0.0.1:50051")
//	…
//	defer client.Shutdown(ctx)
//	err = client.Send(ctx, sdk.Features("cellar/wine", sdk.Float("acid", 7.4), sdk.String("colour", "red")))
//
// Send only queues a record: batches go out in the background, in order, and
// again until the mesh has them durably. The queue is bounded; when it is full
// Send waits. Flush waits until everything queued so far is durable and says
// what was refused. Publish sends at once and waits for the answer.
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
// Errors from the mesh are gRPC statuses; see [RejectedError] and
// [UnsentError] for what happens to single records. Package sdktest has a
// gateway in memory for tests.
package sdk
