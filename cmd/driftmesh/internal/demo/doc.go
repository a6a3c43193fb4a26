// Package demo is the load of "driftmesh demo": a shop that rates wines with a
// model, and whose customers' taste changes.
//
// Each request is a trace of four services (frontend, rating-api,
// feature-store, model-server), sent through the OpenTelemetry SDK as anybody
// would; each prediction is also a record of the model's eleven inputs, sent
// through our SDK in the trace context of the span that predicted. The inputs
// are rows of a real data set, so what drifts is real as well:
//
//	history  minutes of the past, sent at once   rows of the reference half
//	calm     live                                rows of the reference half
//	drift    live, until the end                 strong wines of the other half
//
// The package knows the mesh only by the addresses of its public doors.
package demo
