package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"

	ingestv1 "github.com/driftmesh/driftmesh/proto/driftmesh/ingest/v1"
	"github.com/driftmesh/driftmesh/sdk"
	"github.com/driftmesh/driftmesh/sdk/sdktest"
)

// exampleTest lets examples use the gateway in memory, which wants a test.
type exampleTest struct {
	testing.TB
	cleanups []func()
}

func (e *exampleTest) Helper()          {}
func (e *exampleTest) Cleanup(f func()) { e.cleanups = append(e.cleanups, f) }
func (e *exampleTest) end() {
	for i := len(e.cleanups) - 1; i >= 0; i-- {
		e.cleanups[i]()
	}
}

func Example() {
	t := &exampleTest{}
	defer t.end()
	gateway := sdktest.New(t)
	ctx := context.Background()

	// A program says sdk.New("127.0.0.1:50051") instead.
	client := gateway.Client()
	for i, acid := range []float64{7.4, 7.8} {
		err := client.Send(ctx, sdk.Features("cellar/wine", sdk.Float("acid", acid), sdk.String("colour", "red")).
			WithID(fmt.Sprintf("bottle-%d", i)))
		if err != nil {
			log.Fatal(err)
		}
	}
	if err := client.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}

	for _, r := range gateway.Records() {
		fmt.Println(r.GetId(), r.GetFeatures().GetValues()[0].GetFloat())
	}
	// Output:
	// bottle-0 7.4
	// bottle-1 7.8
}

func ExampleRejectedError() {
	t := &exampleTest{}
	defer t.end()
	gateway := sdktest.New(t)
	gateway.Refuse(func(*ingestv1.Record) *ingestv1.Rejection {
		return &ingestv1.Rejection{Field: "profile", Reason: "unknown_profile", Message: "no such profile"}
	})
	client := gateway.Client()

	err := client.Publish(context.Background(), sdk.Metrics("cellar/beer", map[string]float64{"rmse": 0.3}).WithID("m1"))
	var rejected *sdk.RejectedError
	if errors.As(err, &rejected) {
		for _, r := range rejected.Rejections {
			fmt.Printf("%s: %s (%s)\n", r.RecordID, r.Message, r.Field)
		}
	}
	// Output:
	// m1: no such profile (profile)
}
