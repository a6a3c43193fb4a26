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
// Register registers a profile that package profile made of reference data, and
// says what later records are held against.
//
// Errors from the mesh are gRPC statuses; see [RejectedError] and
// [UnsentError] for what happens to single records. Package sdktest has a
// gateway in memory for tests.
package sdk
