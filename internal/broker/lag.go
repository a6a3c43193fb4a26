package broker

// WatchLag exports how far a group is behind, with the metrics of an
// instrumented broker, until the returned function is called. It is for groups
// that this process does not work; a Runner does so for its own. Several may
// watch one group.
//
// The gauge driftmesh_broker_lag_messages is Lag.Total wherever it comes from:
// what waits and what is in flight. Every process that exports it for a group
// exports the same number, so take the maximum over processes, not the sum. It
// is absent while the number is not known.
func WatchLag(b Broker, topic, group string) (stop func()) {
	if i, ok := b.(*instrumented); ok {
		return i.telemetry.metrics.lag.watch(topic, group, b.Admin().Lag)
	}
	return func() {}
}
