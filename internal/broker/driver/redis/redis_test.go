package redis_test

import (
	"context"
	"crypto/tls"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/brokertest"
	"github.com/driftmesh/driftmesh/internal/broker/driver/redis"
	"github.com/driftmesh/driftmesh/test/server"
	redisserver "github.com/driftmesh/driftmesh/test/server/redis"
)

func TestMain(m *testing.M) {
	brokertest.Main(m, open)
}

// open opens a broker of the suite.
func open(ctx context.Context, url string, lost brokertest.Lost) (broker.Broker, error) {
	return redis.Open(ctx, redis.Config{URL: url, Lost: lost})
}

func TestSuite(t *testing.T) {
	shared := redisserver.Start(t, redisserver.Options{})
	brokertest.Run(t, harness(func(t *testing.T, fault bool) brokertest.Server {
		if fault {
			return redisserver.Start(t, redisserver.Options{})
		}
		return shared
	}), except)
}

func harness(start func(t *testing.T, fault bool) brokertest.Server) brokertest.Harness {
	return brokertest.Harness{Start: start, Open: open, Foreign: foreign, RefusesForeign: true, Remove: remove, Refused: refused}
}

var except = brokertest.Except{
	"TopicMadeAnew": "what a deleted stream held is not known, and so not reported as lost",
	"KeyOrder":      "workers share one stream, and Redis hands entries to whoever asks; Capabilities.Ordered is false",
}

// foreign publishes as any Redis client would.
func foreign(tb testing.TB, addr string) func(context.Context, broker.Message) error {
	opts, err := goredis.ParseURL(addr)
	require.NoError(tb, err)
	return stranger(tb, goredis.NewClient(opts))
}

func stranger(tb testing.TB, c goredis.UniversalClient) func(context.Context, broker.Message) error {
	tb.Cleanup(func() { _ = c.Close() })
	return func(ctx context.Context, m broker.Message) error {
		fields := []any{"v", m.Value, "i", m.ID}
		if m.Key != nil {
			fields = append(fields, "k", m.Key)
		}
		for _, h := range m.Headers {
			fields = append(fields, "h:"+h.Key, h.Value)
		}
		return c.XAdd(ctx, &goredis.XAddArgs{Stream: "driftmesh:{" + m.Topic + "}", NoMkStream: true, Values: fields}).Err()
	}
}

// remove deletes a topic, or a group, as an operator might.
func remove(tb testing.TB, addr, topic, group string) {
	opts, err := goredis.ParseURL(addr)
	require.NoError(tb, err)
	c := goredis.NewClient(opts)
	defer c.Close()
	removeWith(tb, c, topic, group)
}

func removeWith(tb testing.TB, c goredis.UniversalClient, topic, group string) {
	stream := "driftmesh:{" + topic + "}"
	if group != "" {
		require.NoError(tb, c.XGroupDestroy(tb.Context(), stream, group).Err())
		return
	}
	require.NoError(tb, c.Del(tb.Context(), stream).Err())
}

// everything is what a user needs, as the package says.
const everything = "~driftmesh:* -@all +hello +auth +ping +select +client|setname " +
	"+xadd +xreadgroup +xread +xrange +xrevrange +xlen +xack +xclaim +xpending +xtrim +xgroup +xinfo " +
	"+xsetid +memory|usage +time +info +exists +hset +hsetnx +hget +hgetall +hdel +eval +evalsha +script|load"

// refused are connections that a server with users, or with TLS, refuses.
func refused(tb testing.TB) map[string]func(context.Context) error {
	s := redisserver.Start(tb, redisserver.Options{Users: map[string]redisserver.User{
		"mesh":   {Password: "s3cret", Rules: everything},
		"reader": {Password: "r", Rules: everything + " -xadd"},
		"other":  {Password: "o", Rules: everything + " resetkeys ~other:*"},
	}})
	private := redisserver.Start(tb, redisserver.Options{TLS: server.NewCertificate(tb)})
	opening := func(url string, config *tls.Config) func(context.Context) error {
		return func(ctx context.Context) error {
			b, err := redis.Open(ctx, redis.Config{URL: url, TLS: config})
			if err == nil {
				err = b.Ping(ctx)
				_ = b.Close(ctx)
			}
			return err
		}
	}
	publish := func(url string) func(context.Context) error {
		return func(ctx context.Context) error {
			b, err := redis.Open(ctx, redis.Config{URL: url})
			if err != nil {
				return err
			}
			defer b.Close(ctx)
			if err := b.Admin().EnsureTopic(ctx, broker.TopicSpec{Name: "spans"}); err != nil {
				return err
			}
			p, err := b.Publisher()
			if err != nil {
				return err
			}
			return p.Publish(ctx, []broker.Message{{Topic: "spans", Value: []byte("x")}})
		}
	}
	require.NoError(tb, publish(s.URLOf("mesh", "s3cret"))(tb.Context()), "the documented permissions are enough")
	return map[string]func(context.Context) error{
		"no password":        opening(s.URLOf("", ""), nil),
		"wrong password":     opening(s.URLOf("mesh", "wrong"), nil),
		"unknown user":       opening(s.URLOf("nobody", "s3cret"), nil),
		"wrong CA":           opening("rediss://"+private.Addr(), nil),
		"TLS required":       opening("redis://"+private.Addr(), nil),
		"TLS not spoken":     opening("rediss://"+s.Addr(), nil),
		"publish permission": publish(s.URLOf("reader", "r")),
		"other keys":         publish(s.URLOf("other", "o")),
	}
}
