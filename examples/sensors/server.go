package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/examples/sensors/sensorpb"
)

const (
	maxID        = 64
	absoluteZero = -273.15
)

// Server is the service. It is safe for concurrent use.
type Server struct {
	sensorpb.UnimplementedSensorServiceServer
	history *History
	// observe is told of each reading that was kept, with the context of the call
	// that brought it. It does not block.
	observe func(ctx context.Context, id string, r Reading)
	now     func() time.Time
}

var _ sensorpb.SensorServiceServer = (*Server)(nil)

// NewServer keeps readings in history and tells observe of them.
func NewServer(history *History, observe func(ctx context.Context, id string, r Reading), now func() time.Time) *Server {
	return &Server{history: history, observe: observe, now: now}
}

// SendSingleReading implements SensorService.
func (s *Server) SendSingleReading(ctx context.Context, in *sensorpb.SensorReading) (*sensorpb.Ack, error) {
	report, err := s.take(ctx, in)
	if err != nil {
		return nil, err
	}
	return &sensorpb.Ack{Message: report}, nil
}

// StreamSensorReadings implements SensorService. It ends with the first reading
// that cannot be taken; those before it are kept.
func (s *Server) StreamSensorReadings(stream grpc.ClientStreamingServer[sensorpb.SensorReading, sensorpb.Ack]) error {
	for taken := 0; ; taken++ {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&sensorpb.Ack{Message: fmt.Sprintf("took %d readings", taken)})
		} else if err != nil {
			return err
		}
		if _, err := s.take(stream.Context(), in); err != nil {
			return err
		}
	}
}

// GetSensorReadings implements SensorService.
func (s *Server) GetSensorReadings(in *sensorpb.SensorRequest, stream grpc.ServerStreamingServer[sensorpb.SensorReading]) error {
	readings := s.history.Readings(in.GetSensorId())
	if len(readings) == 0 {
		return status.Errorf(codes.NotFound, "nothing is known of the sensor %q", in.GetSensorId())
	}
	for _, r := range readings {
		if err := stream.Send(&sensorpb.SensorReading{SensorId: in.GetSensorId(), Temperature: r.Temperature, Timestamp: timestamppb.New(r.At)}); err != nil {
			return err
		}
	}
	return nil
}

// SensorChat implements SensorService.
func (s *Server) SensorChat(stream grpc.BidiStreamingServer[sensorpb.SensorReading, sensorpb.ServerMessage]) error {
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		report, err := s.take(stream.Context(), in)
		if err != nil {
			return err
		}
		if err := stream.Send(&sensorpb.ServerMessage{Message: report, ServerTime: timestamppb.New(s.now())}); err != nil {
			return err
		}
	}
}

// take keeps a reading and says how it compares.
func (s *Server) take(ctx context.Context, in *sensorpb.SensorReading) (report string, err error) {
	r := Reading{At: s.now(), Temperature: in.GetTemperature()}
	if in.GetTimestamp() != nil {
		r.At = in.GetTimestamp().AsTime()
	}
	switch id := in.GetSensorId(); {
	case id == "" || len(id) > maxID:
		return "", status.Errorf(codes.InvalidArgument, "sensor_id must have 1 to %d bytes", maxID)
	case math.IsNaN(r.Temperature) || math.IsInf(r.Temperature, 0) || r.Temperature < absoluteZero:
		return "", status.Errorf(codes.InvalidArgument, "%v degrees Celsius are no temperature", r.Temperature)
	case in.GetTimestamp() != nil && !in.GetTimestamp().IsValid():
		return "", status.Error(codes.InvalidArgument, "timestamp is no time")
	}
	averages, err := s.history.Add(in.GetSensorId(), r)
	if err != nil {
		return "", status.Error(codes.ResourceExhausted, err.Error())
	}
	s.observe(ctx, in.GetSensorId(), r)
	return fmt.Sprintf("%s reads %.1f °C; on average %.1f °C in all %d readings, %.1f °C in %d of the last minute",
		in.GetSensorId(), r.Temperature, averages.All, averages.Readings, averages.Minute, averages.MinuteCount), nil
}
