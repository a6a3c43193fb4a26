package redis_test

import (
	"context"
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker/driver/redis"
	"github.com/driftmesh/driftmesh/internal/broker/source"
	"github.com/driftmesh/driftmesh/internal/broker/sourcetest"
	redisserver "github.com/driftmesh/driftmesh/test/server/redis"
)

func TestSource(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t, redisserver.Options{})
	opts, err := goredis.ParseURL(s.URL())
	require.NoError(t, err)
	bare := goredis.NewClient(opts)
	t.Cleanup(func() { _ = bare.Close() })
	sourcetest.Run(t, sourcetest.Harness{
		Server: s,
		Open: func(ctx context.Context, url string, how source.Config) (source.Source, error) {
			return redis.OpenSource(ctx, redis.Config{URL: url}, how)
		},
		Make: func(testing.TB) {},
		Publish: func(tb testing.TB, values ...string) {
			for _, v := range values {
				require.NoError(tb, bare.Publish(context.Background(), sourcetest.Queue, v).Err())
			}
		},
		State: func(tb testing.TB) string {
			keys, err := bare.DBSize(context.Background()).Result()
			require.NoError(tb, err)
			return fmt.Sprint(keys)
		},
	}, sourcetest.Except{
		"WhatIsNotAcknowledgedComesAgain": "a channel keeps nothing",
		"EachToOne":                       "every subscriber of a channel gets every message",
	})
}
