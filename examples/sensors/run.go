package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/driftmesh/driftmesh/examples/sensors/sensorpb"
)

// Idle streams and calls that never end are what fills a server.
const maxStreams = 1000

// serve runs the server until ctx ends.
func serve(ctx context.Context, o options) (err error) {
	transport, err := credentials.NewServerTLSFromFile(o.cert, o.key)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	w, err := watch(ctx, "sensor-server", o.metrics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.end(ctx)) }()
	if err := register(ctx, w.mesh); err != nil {
		return err
	}
	history := NewHistory(time.Now)
	counted, err := w.count(history)
	if err != nil {
		return err
	}
	tell := observe(w.mesh)
	server := grpc.NewServer(append(w.server(), grpc.Creds(transport), grpc.MaxConcurrentStreams(maxStreams), grpc.MaxRecvMsgSize(4<<10))...)
	sensorpb.RegisterSensorServiceServer(server, NewServer(history, func(ctx context.Context, id string, r Reading) {
		counted(ctx, id)
		tell(ctx, id, r)
	}, time.Now))
	state := health.NewServer()
	state.SetServingStatus(sensorpb.SensorService_ServiceDesc.ServiceName, healthgrpc.HealthCheckResponse_SERVING)
	healthgrpc.RegisterHealthServer(server, state)
	reflection.Register(server)

	lis, err := new(net.ListenConfig).Listen(ctx, "tcp", o.address)
	if err != nil {
		return err
	}
	fmt.Printf("sensors: listening on %s\n", lis.Addr())
	stop := context.AfterFunc(ctx, func() {
		state.Shutdown()
		gone := time.AfterFunc(stopping, server.Stop) // who does not let go
		server.GracefulStop()
		gone.Stop()
	})
	defer stop()
	return server.Serve(lis)
}

// connect opens a connection to the server, whose certificate must be of the
// authority.
func connect(o options, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	authority, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("authority: %s has no certificate", o.ca)
	}
	transport := credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	return grpc.NewClient(o.address, append(more, grpc.WithTransportCredentials(transport))...)
}

// call makes calls of one kind until ctx ends.
func call(ctx context.Context, kind string, o options) (err error) {
	w, err := watch(ctx, "sensor-"+kind, o.metrics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.end(ctx)) }()
	conn, err := connect(o, w.dial()...)
	if err != nil {
		return err
	}
	defer conn.Close()
	fault := Fault{Sensor: o.faulty, By: o.by}
	if o.after >= 0 {
		fault.From = time.Now().Add(o.after)
	}
	caller := &Caller{
		API: sensorpb.NewSensorServiceClient(conn), House: NewHouse(o.seed, fault), Every: o.every,
		Tell: func(s string) { fmt.Println(s) },
	}
	return caller.Run(ctx, kind)
}

// probe asks the server on this machine whether it is healthy.
func probe(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	_, port, err := net.SplitHostPort(o.address)
	if err != nil {
		return err
	}
	o.address = net.JoinHostPort("localhost", port)
	conn, err := connect(o)
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := healthgrpc.NewHealthClient(conn).Check(ctx, &healthgrpc.HealthCheckRequest{Service: sensorpb.SensorService_ServiceDesc.ServiceName})
	if err != nil {
		return err
	}
	if answer.GetStatus() != healthgrpc.HealthCheckResponse_SERVING {
		return fmt.Errorf("the server says %s", answer.GetStatus())
	}
	return nil
}
