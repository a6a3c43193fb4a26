// Package grpcmetrics counts the calls of gRPC clients for Prometheus, under
// the names that dashboards and alerts everywhere know: those of
// go-grpc-middleware's grpc_client_… metrics.
//
//	calls := grpcmetrics.New(grpcmetrics.Config{HandlingTime: true})
//	prometheus.MustRegister(calls)
//	client, err := sdk.New(addr, sdk.WithDialOptions(calls.DialOptions()...))
//
// Whoever does not import this package links nothing of Prometheus.
//
// It is a small implementation of its own, because go-grpc-middleware never
// counts a client-streaming call as handled, nor any stream that its caller
// gives up before its end.
package grpcmetrics
