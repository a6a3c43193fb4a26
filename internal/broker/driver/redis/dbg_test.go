package redis_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver/redis"
	redisserver "github.com/driftmesh/driftmesh/test/server/redis"
)

func TestDbg(t *testing.T) {
	for range 15 {
		s := redisserver.Start(t, redisserver.Options{})
		ctx := t.Context()
		b := dial(t, redis.Config{URL: s.URL()})
		require.NoError(t, broker.Provision(ctx, b.Admin(), broker.TopicSpec{Name: "spans"}, broker.GroupSpec{Name: "g"}))
		require.NoError(t, publisher(t, b).Publish(ctx, messages(500, 10)))
		info := admin(t, s).InfoMap(ctx, "persistence").Val()["Persistence"]
		_ = info
		s.Kill()
		s.Restart()
		t.Log(admin(t, s).XLen(ctx, key).Val(), info["aof_pending_bio_fsync"], info["aof_delayed_fsync"], info["aof_buffer_length"])
	}
}
