package redis_test

import (
	"context"
	"fmt"

	"github.com/driftmesh/driftmesh/sdk"
	_ "github.com/driftmesh/driftmesh/sdk/broker/redis"
)

// The import makes the address known. A client does not wait for its broker: what is
// sent queues until that is there.
func Example() {
	client, err := sdk.New("rediss://producer:PASSWORD@redis.example.com?wait=1", sdk.WithAPIKey("a key that may send"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.Stats().Records.Queued, "records wait")
	fmt.Println(client.Shutdown(context.Background()))
	// Output:
	// 0 records wait
	// <nil>
}
