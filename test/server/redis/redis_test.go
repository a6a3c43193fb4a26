package redis_test

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/redis"
)

func connect(t *testing.T, url string) *goredis.Client {
	t.Helper()
	opts, err := goredis.ParseURL(url)
	require.NoError(t, err)
	opts.MaxRetries, opts.DialerRetries, opts.ContextTimeoutEnabled = -1, 1, true
	c := goredis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// What was written is there after SIGKILL, and a frozen server is silent.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := redis.Start(t, redis.Options{})
	c := connect(t, s.URL())
	ctx := t.Context()
	require.NoError(t, c.Set(ctx, "k", "v", 0).Err())
	pid := s.PID()
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err == nil {
		require.Contains(t, string(comm), "redis-server")
	}
	s.Kill()
	require.Error(t, c.Ping(ctx).Err())
	s.Restart()
	require.NotEqual(t, pid, s.PID())
	require.Equal(t, "v", c.Get(ctx, "k").Val())

	s.Freeze()
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	require.Error(t, c.Ping(short).Err())
	s.Thaw()
	require.NoError(t, c.Ping(ctx).Err())
	s.Set("maxmemory", "100mb")
	require.Equal(t, "104857600", c.ConfigGet(ctx, "maxmemory").Val()["maxmemory"])
	s.Stop()
}

func TestUsersAndTLS(t *testing.T) {
	t.Parallel()
	cert := server.NewCertificate(t)
	s := redis.Start(t, redis.Options{TLS: cert, Users: map[string]redis.User{
		"all":  {Password: "p@ss/word", Rules: "~* &* +@all"},
		"read": {Password: "r", Rules: "~* -@all +@read +@connection"},
	}})
	ctx := t.Context()
	require.NoError(t, dial(t, s, cert, "all", "p@ss/word").Set(ctx, "k", "v", 0).Err())
	require.Equal(t, "v", dial(t, s, cert, "read", "r").Get(ctx, "k").Val())
	require.ErrorContains(t, dial(t, s, cert, "read", "r").Set(ctx, "k", "w", 0).Err(), "NOPERM")
	require.ErrorContains(t, dial(t, s, cert, "all", "wrong").Ping(ctx).Err(), "WRONGPASS")
	require.ErrorContains(t, dial(t, s, cert, "", "").Ping(ctx).Err(), "NOAUTH")
	require.Error(t, dial(t, s, nil, "all", "p@ss/word").Ping(ctx).Err(), "it speaks TLS only")
}

func dial(t *testing.T, s *redis.Server, cert *server.Certificate, user, password string) *goredis.Client {
	t.Helper()
	opts := &goredis.Options{Addr: s.Addr(), Username: user, Password: password, MaxRetries: -1}
	if cert != nil {
		opts.TLSConfig = cert.Client
	}
	c := goredis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}
