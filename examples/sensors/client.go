package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftmesh/driftmesh/examples/sensors/sensorpb"
	"github.com/driftmesh/driftmesh/sdk"
)

// Caller makes calls of one kind, again and again, at random intervals.
type Caller struct {
	API   sensorpb.SensorServiceClient
	House *House
	// Every is the mean pause between two readings.
	Every time.Duration
	// Tell says what the server answered.
	Tell func(string)
}

// kinds are the calls by the name that the command line has for them.
var kinds = map[string]struct {
	method string
	call   func(*Caller, context.Context) error
}{
	"single": {"SendSingleReading", (*Caller).single},
	"stream": {"StreamSensorReadings", (*Caller).stream},
	"get":    {"GetSensorReadings", (*Caller).get},
	"chat":   {"SensorChat", (*Caller).chat},
}

// How many readings a stream brings.
const shortest, longest = 5, 15

// Run calls until ctx ends. A call that fails is told, and the next one is made.
func (c *Caller) Run(ctx context.Context, kind string) error {
	for c.wait(ctx) {
		if err := c.once(ctx, kind); err != nil && ctx.Err() == nil {
			c.Tell(fmt.Sprintf("%s: %v", kinds[kind].method, err))
		}
	}
	return nil
}

// once makes one call, within a span of its own, which has the error of one that fails.
func (c *Caller) once(ctx context.Context, kind string) error {
	ctx, span := sdk.Start(ctx, "read "+kind)
	defer span.End()
	err := kinds[kind].call(c, ctx)
	if err != nil {
		span.Fail(err)
	}
	return err
}

// wait pauses, and says whether there is still something to do.
func (c *Caller) wait(ctx context.Context) bool {
	timer := time.NewTimer(c.House.Pause(c.Every))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (c *Caller) reading() *sensorpb.SensorReading {
	id, r := c.House.Read(time.Now())
	return &sensorpb.SensorReading{SensorId: id, Temperature: r.Temperature, Timestamp: timestamppb.New(r.At)}
}

// bring sends the readings of a stream. When it cannot, who receives is told why.
func (c *Caller) bring(ctx context.Context, send func(*sensorpb.SensorReading) error) {
	for range c.House.Some(shortest, longest) {
		if !c.wait(ctx) || send(c.reading()) != nil {
			return
		}
	}
}

func (c *Caller) single(ctx context.Context) error {
	ack, err := c.API.SendSingleReading(ctx, c.reading())
	if err == nil {
		c.Tell(ack.GetMessage())
	}
	return err
}

func (c *Caller) stream(ctx context.Context) error {
	stream, err := c.API.StreamSensorReadings(ctx)
	if err != nil {
		return err
	}
	c.bring(ctx, stream.Send)
	ack, err := stream.CloseAndRecv()
	if err == nil {
		c.Tell(ack.GetMessage())
	}
	return err
}

// get asks for the readings of a sensor. Nobody may have sent any yet.
func (c *Caller) get(ctx context.Context) error {
	id, _ := c.House.Read(time.Now())
	stream, err := c.API.GetSensorReadings(ctx, &sensorpb.SensorRequest{SensorId: id})
	if err != nil {
		return err
	}
	var all sum
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			c.Tell(fmt.Sprintf("%s: %d readings are kept, %.1f °C on average", id, all.count, all.mean()))
			return nil
		} else if status.Code(err) == codes.NotFound {
			return nil
		} else if err != nil {
			return err
		}
		all.count++
		all.total += r.GetTemperature()
	}
}

// chat sends and receives at once: the server reports while more is on its way.
func (c *Caller) chat(ctx context.Context) error {
	stream, err := c.API.SensorChat(ctx)
	if err != nil {
		return err
	}
	heard := make(chan error, 1)
	go func() {
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				heard <- nil
				return
			} else if err != nil {
				heard <- err
				return
			}
			c.Tell(m.GetMessage())
		}
	}()
	c.bring(ctx, stream.Send)
	return errors.Join(stream.CloseSend(), <-heard)
}
