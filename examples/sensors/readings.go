package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// The profile of the readings, and what judges them.
const (
	profileName = "sensors/readings"
	monitor     = "calibration"
	// threshold of the population stability index: by convention 0.25 is a change.
	threshold = 0.25
	// minSample keeps minutes that are hardly filled from being judged.
	minSample = 200
	// reference is how many readings of a house in order the profile is made of.
	reference     = 5000
	referenceSeed = 1
)

// readings is the profile of what the sensors read while all is in order. It is
// judged as each minute closes.
func readings() (*profile.Profile, error) {
	house := NewHouse(referenceSeed, Fault{})
	ids, temperatures := make([]string, reference), make([]float64, reference)
	for i := range reference {
		id, r := house.Read(time.Time{})
		ids[i], temperatures[i] = id, r.Temperature
	}
	return profile.New([]profile.Column{
		{Name: "temperature", Type: profile.Float, Numbers: temperatures},
		{Name: "sensor_id", Type: profile.String, Texts: ids},
	}, profile.Options{
		Space: "sensors", Name: "readings", Schedule: profile.Schedule{OnClose: true},
		// Of equal width: one above all that is usual is a cell of its own.
		Binning: profile.Binning{Rule: profile.Manual, Bins: 12},
		Monitors: []profile.Monitor{{
			Name: monitor, Detector: profile.PSIDetector, Features: []string{"temperature"}, MinSample: minSample, Threshold: profile.Above(threshold),
		}},
	})
}

// register makes the profile known, unless it is.
func register(ctx context.Context, client *sdk.Client) error {
	if _, err := client.Profile(ctx, profileName); err == nil {
		return nil
	} else if status.Code(err) != codes.NotFound {
		return fmt.Errorf("ask for the profile: %w", err)
	}
	p, err := readings()
	if err != nil {
		return err
	}
	_, err = client.Register(ctx, p)
	return err
}

// observe sends a reading as a record of the profile. The record belongs to the
// trace of the call that brought it, so an alert leads there. It does not wait: what
// finds the queue full is not sent, and counted.
func observe(client *sdk.Client) func(context.Context, string, Reading) {
	return func(ctx context.Context, id string, r Reading) {
		_ = client.TrySend(ctx, sdk.Features(profileName, sdk.Float("temperature", r.Temperature), sdk.String("sensor_id", id)).WithTime(r.At))
	}
}
