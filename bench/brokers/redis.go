package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisSide publishes a batch in one pipeline, reads with XREADGROUP and
// acknowledges a batch with one XACK.
type redisSide struct {
	pub, sub *redis.Client
	stream   string
	batch    int
}

func redisKey(topic string) string { return "driftmesh:{" + topic + "}" }

func openRedis(_ context.Context, url, topic string, batch int) (side, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	opts.MaxRetries = -1 // else what was added and not confirmed is added twice
	return &redisSide{pub: redis.NewClient(opts), sub: redis.NewClient(opts), stream: redisKey(topic), batch: batch}, nil
}

func (s *redisSide) sender() (func(context.Context, []item) error, error) {
	return func(ctx context.Context, items []item) error {
		pipe := s.pub.Pipeline()
		for _, it := range items {
			pipe.XAdd(ctx, &redis.XAddArgs{
				Stream: s.stream, NoMkStream: true, Values: []any{"v", it.payload, "i", it.id, "h:" + traceHeader, traceParent},
			})
		}
		_, err := pipe.Exec(ctx) // the first error of all
		return err
	}, nil
}

func (s *redisSide) receiver(context.Context) (receiver, error) { return &redisReceiver{s}, nil }

func (s *redisSide) close() {
	_ = s.pub.Close()
	_ = s.sub.Close()
}

type redisReceiver struct{ *redisSide }

func (r *redisReceiver) receive(ctx context.Context, most int) (out batch, err error) {
	var ids []string
	for out.n < most {
		streams, err := r.sub.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: group, Consumer: "bare", Streams: []string{r.stream, ">"}, Count: int64(most - out.n), Block: 500 * time.Millisecond,
		}).Result()
		if err != nil {
			return out, err
		}
		for i := range streams[0].Messages {
			m := &streams[0].Messages[i]
			value, _ := m.Values["v"].(string)
			trace, _ := m.Values["h:"+traceHeader].(string)
			out.read(len(value), trace)
			ids = append(ids, m.ID)
		}
	}
	out.ack = func(ctx context.Context) error {
		n, err := r.sub.XAck(ctx, r.stream, group, ids...).Result()
		if err == nil && n != int64(len(ids)) {
			err = errors.New("entries were acknowledged before")
		}
		return err
	}
	return out, nil
}

func (r *redisReceiver) close() {}

func removeRedis(ctx context.Context, url, topic string) error {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	client := redis.NewClient(opts)
	defer client.Close()
	return client.Unlink(ctx, redisKey(topic), redisKey(topic)+":settings").Err()
}
