package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/sdk"
	transportkafka "github.com/driftmesh/driftmesh/sdk/broker/kafka"
	transportnats "github.com/driftmesh/driftmesh/sdk/broker/nats"
	transportrabbitmq "github.com/driftmesh/driftmesh/sdk/broker/rabbitmq"
	transportredis "github.com/driftmesh/driftmesh/sdk/broker/redis"
	"github.com/driftmesh/driftmesh/sdk/transporttest"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/kafka"
	"github.com/driftmesh/driftmesh/test/server/nats"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
	"github.com/driftmesh/driftmesh/test/server/redis"
)

// closing opens a transport that ends with the test.
func closing(t *testing.T, open sdk.OpenTransport, address string) sdk.Transport {
	t.Helper()
	tr, err := open(address, sdk.TransportConfig{})
	require.NoError(t, err, address)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, tr.Close(ctx))
	})
	return tr
}

func send(t *testing.T, tr sdk.Transport, b sdk.Batch) error {
	t.Helper()
	_, err := tr.Send(t.Context(), b)
	return err
}

// arrives sends until it arrives.
func arrives(t *testing.T, tr sdk.Transport, b sdk.Batch) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) { require.NoError(c, send(t, tr, b)) }, 30*time.Second, 100*time.Millisecond)
}

// told is the error of a transport that knows what it means.
func told(t *testing.T, err error) *sdk.TransportError {
	t.Helper()
	out, ok := errors.AsType[*sdk.TransportError](err)
	require.True(t, ok, "%v", err)
	t.Logf("told: %v", err)
	return out
}

// RabbitMQ takes nothing while an alarm is on, does not answer, and stops reading.
func TestRabbitMQAlarm(t *testing.T) {
	t.Parallel()
	node := rabbitmq.Start(t, rabbitmq.Options{Management: true, Config: map[string]string{"disk_free_limit.absolute": "1000000GB"}})
	s := newSide(t, node, node.URL(), as(t, node.URL(), "guest", "guest"), transportrabbitmq.New)
	node.Settle()
	tr := closing(t, s.open, s.producer+"?publish-timeout=15s") // until the broker says that it is blocked, on a busy machine too
	run := transporttest.NewSeries("default/wine")
	b, items := run.Batch(sdk.TypeSpans, 1, 100)
	begin := time.Now()
	for range 3 {
		err := told(t, send(t, tr, b))
		require.False(t, err.Permanent)
		require.Positive(t, err.RetryAfter)
		require.ErrorContains(t, err, "an alarm about its memory or disk is on")
	}
	require.Less(t, time.Since(begin), 15*time.Second)
	node.Kill()
	node.Reconfigure(nil)
	node.Restart()
	arrives(t, tr, b)
	require.Equal(t, map[string]int{items[0]: 1}, s.stored(t, run, items))
}

// A batch above the broker's limit, which it does not tell before, ends the channel
// for it alone; and an exchange that is not there, or that nobody reads, is said.
func TestRabbitMQLimits(t *testing.T) {
	t.Parallel()
	node := rabbitmq.Start(t, rabbitmq.Options{Management: true, Config: map[string]string{"max_message_size": "2000000"}})
	producer := as(t, node.URL(), "guest", "guest")
	run := transporttest.NewSeries("default/wine")
	b, _ := run.Batch(sdk.TypeSpans, 1, 100)
	early := closing(t, transportrabbitmq.New, producer)
	err := told(t, send(t, early, b))
	require.False(t, err.Permanent)
	require.ErrorContains(t, err, "there is no exchange driftmesh.inbox: is the mesh there")

	s := newSide(t, node, node.URL(), producer, transportrabbitmq.New)
	arrives(t, early, b)
	large, _ := run.Sized(3 << 20)
	err = told(t, send(t, early, large))
	require.True(t, err.Permanent)
	require.ErrorContains(t, err, "larger than the 2000000 it takes")
	again, _ := run.Batch(sdk.TypeSpans, 1, 100)
	require.NoError(t, send(t, early, again))
	require.Len(t, s.stored(t, run, nil), 2)
}

// What Redis has no memory for it refuses, and takes when it has.
func TestRedisWithoutMemory(t *testing.T) {
	t.Parallel()
	node := redis.Start(t, redis.Options{})
	s := newSide(t, node, node.URL(), node.URL(), transportredis.New)
	tr := closing(t, s.open, s.producer)
	run := transporttest.NewSeries("default/wine")
	node.Set("maxmemory", "1mb")
	b, items := run.Batch(sdk.TypeSpans, 1, 100)
	err := told(t, send(t, tr, b))
	require.False(t, err.Permanent)
	require.Positive(t, err.RetryAfter)
	node.Set("maxmemory", "0")
	require.NoError(t, send(t, tr, b))
	require.Equal(t, map[string]int{items[0]: 1}, s.stored(t, run, items))
}

// Redis behind sentinels, on a cluster, as a primary with its replica, and one that
// must have what is acknowledged.
func TestRedisOfManyServers(t *testing.T) {
	t.Parallel()
	run := transporttest.NewSeries("default/wine")
	check := func(t *testing.T, mesh, address string) {
		t.Helper()
		s := newSide(t, nil, mesh, address, transportredis.New)
		tr := closing(t, s.open, address)
		batch, items := run.Batch(sdk.TypeSpans, 3, 100)
		require.NoError(t, send(t, tr, batch))
		stored := s.stored(t, run, items)
		for _, item := range items {
			require.Equal(t, 1, stored[item])
		}
	}
	t.Run("sentinels", func(t *testing.T) {
		t.Parallel()
		w := redis.StartWatched(t)
		check(t, w.URL(), w.URL()+"?wait=1")
		t.Run("the replica first", func(t *testing.T) {
			address := "redis://" + w.Replica.Addr() + "," + w.Primary.Addr()
			b, _ := run.Batch(sdk.TypeSpans, 1, 100)
			tr := closing(t, transportredis.New, address)
			require.ErrorContains(t, send(t, tr, b), "READONLY")
			arrives(t, tr, b)
		})
		t.Run("a copy that is not there", func(t *testing.T) {
			b, _ := run.Batch(sdk.TypeSpans, 1, 100)
			err := told(t, send(t, closing(t, transportredis.New, "redis://"+w.Primary.Addr()+"?wait=3&publish-timeout=1s"), b))
			require.False(t, err.Permanent)
			require.ErrorContains(t, err, "1 of 3 replicas have it")
		})
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		c := redis.StartCluster(t)
		address := "redis+cluster://" + c.Nodes[2].Addr()
		check(t, address, address)
	})
}

// The server's max_payload is heeded from the first connection on; what the stream
// takes less is said.
func TestNATSLimits(t *testing.T) {
	t.Parallel()
	node := nats.Start(t, nats.Options{MaxPayload: 256 << 10})
	tr := closing(t, transportnats.New, node.URL())
	run := transporttest.NewSeries("default/wine")
	b, items := run.Batch(sdk.TypeSpans, 1, 100)
	require.Equal(t, 1<<20-16<<10, tr.MaxBytes(), "nobody knows yet")
	err := told(t, send(t, tr, b))
	require.False(t, err.Permanent)
	require.ErrorContains(t, err, "no stream takes driftmesh.inbox: is the mesh there")
	require.Equal(t, 256<<10-16<<10, tr.MaxBytes())

	s := newSide(t, node, node.URL(), node.URL(), transportnats.New)
	arrives(t, tr, b)
	require.Equal(t, map[string]int{items[0]: 1}, s.stored(t, run, items))
	js := jetStream(t, node.URL())
	stream, failed := js.Stream(t.Context(), "driftmesh_inbox")
	require.NoError(t, failed)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgSize = 64 << 10
	_, failed = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, failed)
	large, _ := run.Sized(100 << 10)
	require.True(t, told(t, send(t, tr, large)).Permanent)
}

func jetStream(t *testing.T, address string) jetstream.JetStream {
	t.Helper()
	conn, err := natsgo.Connect(address)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js
}

// A topic that takes less than it is said to take is found out: what is cut from
// then on fits. And a producer over its quota is slowed down, and loses nothing.
func TestKafkaLimits(t *testing.T) {
	t.Parallel()
	node := kafka.Start(t, kafka.Options{})
	run := transporttest.NewSeries("default/wine")
	producer := as(t, node.URL(), "", "")
	early := closing(t, transportkafka.New, producer)
	b, _ := run.Batch(sdk.TypeSpans, 1, 100)
	err := told(t, send(t, early, b))
	require.False(t, err.Permanent)
	require.ErrorContains(t, err, "there is no topic driftmesh.inbox: is the mesh there")

	s := newSide(t, node, node.URL(), producer, transportkafka.New)
	arrives(t, early, b)
	_, failed := node.Client().AlterConfigs(t.Context(), &kafkago.AlterConfigsRequest{Resources: []kafkago.AlterConfigRequestResource{{
		ResourceType: kafkago.ResourceTypeTopic, ResourceName: "driftmesh.inbox",
		Configs: []kafkago.AlterConfigRequestConfig{{Name: "max.message.bytes", Value: "300000"}},
	}}})
	require.NoError(t, failed)
	sent := 1
	require.Eventually(t, func() bool {
		large, _ := run.Sized(min(1<<20, early.MaxBytes()))
		refused := send(t, early, large)
		if refused == nil {
			sent++
			return early.MaxBytes() < 300_000
		}
		require.True(t, told(t, refused).Permanent)
		return false
	}, 30*time.Second, 50*time.Millisecond)
	t.Logf("batches are at most %d bytes now", early.MaxBytes())

	slowed, failed := node.Client().AlterClientQuotas(t.Context(), &kafkago.AlterClientQuotasRequest{Entries: []kafkago.AlterClientQuotaEntry{{
		Entities: []kafkago.AlterClientQuotaEntity{{EntityType: "client-id", EntityName: "driftmesh-sdk"}},
		Ops:      []kafkago.AlterClientQuotaOps{{Key: "producer_byte_rate", Value: 100_000}},
	}}})
	require.NoError(t, failed)
	for _, e := range slowed.Entries {
		require.NoError(t, e.Error)
	}
	begin := time.Now()
	for n := 0; time.Since(begin) < 2*time.Second; n++ {
		require.Less(t, n, 60, "nobody slows it down")
		one, _ := run.Sized(100_000)
		arrives(t, early, one)
		sent++
	}
	require.GreaterOrEqual(t, len(s.stored(t, run, nil)), sent)
}

// An address at which something else listens, or nothing, or nobody answers: it is
// said in time, it may pass, and it names the place.
func TestWrongAddresses(t *testing.T) {
	t.Parallel()
	nothing := server.FreeAddress(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	natsd, redisd := nats.Start(t, nats.Options{}), redis.Start(t, redis.Options{})
	type meeting struct {
		name, address string
		err           error
		took          time.Duration
	}
	met, meetings := make(chan meeting), 0 // all at once: most of them only wait
	for scheme, open := range map[string]sdk.OpenTransport{
		"nats": transportnats.New, "kafka": transportkafka.New, "amqp": transportrabbitmq.New, "redis": transportredis.New,
		"nats+tls": transportnats.New, "kafka+tls": transportkafka.New, "amqps": transportrabbitmq.New, "rediss": transportredis.New,
	} {
		for what, address := range map[string]string{"nothing": nothing, "silence": silent.Addr().String(), "NATS": natsd.Addr(), "Redis": redisd.Addr()} {
			if strings.HasPrefix(strings.ToLower(what), strings.TrimSuffix(scheme[:4], "+")) && !strings.Contains(scheme, "tls") && scheme != "rediss" {
				continue // it is the right one
			}
			if scheme == "redis" && what == "Redis" {
				continue
			}
			tr := closing(t, open, scheme+"://user:s3cret@"+address+"?publish-timeout=4s")
			meetings++
			go func() {
				b, _ := transporttest.NewSeries("default/wine").Batch(sdk.TypeSpans, 1, 100)
				begin := time.Now()
				err := send(t, tr, b)
				met <- meeting{scheme + " meets " + what, address, err, time.Since(begin)}
			}()
		}
	}
	for range meetings {
		m := <-met
		t.Run(m.name, func(t *testing.T) {
			err := told(t, m.err)
			require.Less(t, m.took, 8*time.Second)
			require.NotContains(t, err.Error(), "s3cret")
			require.ErrorContains(t, err, m.address)
		})
	}
}

// Everything over TLS, by the files of the URL; and an authority that is not the
// server's is refused.
func TestTLS(t *testing.T) {
	t.Parallel()
	cert, other := server.NewCertificate(t), server.NewCertificate(t)
	for name, start := range map[string]func(t *testing.T) *side{
		"nats": func(t *testing.T) *side {
			s := nats.Start(t, nats.Options{TLS: cert})
			return newSide(t, s, s.URL(), s.URL(), transportnats.New)
		},
		"kafka": func(t *testing.T) *side {
			s := kafka.Start(t, kafka.Options{TLS: cert, Mechanism: kafka.ScramSHA256, Users: map[string]string{"producer": password}})
			return newSide(t, s, s.URL(), as(t, s.URLAs("producer", password), "producer", password)+"&compression=zstd", transportkafka.New)
		},
		"rabbitmq": func(t *testing.T) *side {
			s := rabbitmq.Start(t, rabbitmq.Options{TLS: cert})
			return newSide(t, s, s.URL(), "amqps://guest:guest@"+s.AddrTLS()+"?ca="+url.QueryEscape(cert.CertFile), transportrabbitmq.New)
		},
		"redis": func(t *testing.T) *side {
			s := redis.Start(t, redis.Options{TLS: cert})
			return newSide(t, s, s.URL(), s.URL(), transportredis.New)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			run := transporttest.NewSeries("default/wine")
			b, items := run.Batch(sdk.TypeSpans, 1, 100)
			arrives(t, closing(t, s.open, s.producer), b)
			require.Equal(t, map[string]int{items[0]: 1}, s.stored(t, run, items))
			wrong := strings.Replace(s.producer, url.QueryEscape(cert.CertFile), url.QueryEscape(other.CertFile), 1)
			require.NotEqual(t, wrong, s.producer)
			require.True(t, told(t, send(t, closing(t, s.open, wrong), b)).Permanent)
			bad, err := s.open(s.producer+"&unknown=1", sdk.TransportConfig{})
			require.ErrorContains(t, err, "unknown parameter unknown; there are ")
			require.Nil(t, bad)
		})
	}
}

// A client over a broker, by its address alone: what it says it lost is what is not
// there, though the broker dies under it.
func TestClientOverBrokers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *side{"nats": startNATS, "redis": startRedis} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			client, err := sdk.New(s.producer, sdk.WithAPIKey(apiKey), sdk.WithBatch(50, 1<<20, 5*time.Millisecond))
			require.NoError(t, err)
			const records = 3000
			run := transporttest.NewSeries("default/wine")
			for i := range records {
				r := sdk.Features("default/wine", sdk.Float("alcohol", 9)).WithID(fmt.Sprintf("%s-%d", run.Prefix(), i))
				require.NoError(t, client.Send(t.Context(), r))
				if i == records/2 {
					s.Kill()
					defer s.Restart()
				}
				if i == 3*records/4 {
					s.Restart()
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.NoError(t, client.Shutdown(ctx))
			counts := client.Stats().Records
			require.EqualValues(t, records, counts.Accepted, "%+v", counts)
			require.Zero(t, counts.Lost(), "%+v", counts)
			seen := s.stored(t, run, nil)
			require.Len(t, seen, records)
			for item, n := range seen {
				require.Equal(t, 1, n, item)
			}
		})
	}
}

// A server that does not read stops the library in the middle of a write, under its
// lock: callers leave all the same when they want to.
func TestNATSDoesNotRead(t *testing.T) {
	t.Parallel()
	node := nats.Start(t, nats.Options{})
	s := newSide(t, node, node.URL(), node.URL(), transportnats.New)
	tr := closing(t, s.open, s.producer)
	run := transporttest.NewSeries("default/wine")
	first, _ := run.Batch(sdk.TypeSpans, 1, 100)
	require.NoError(t, send(t, tr, first))
	size := tr.MaxBytes()
	node.Freeze()
	defer node.Thaw()
	for range 2 { // the first fill what the network holds
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				b, _ := run.Sized(size)
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				begin := time.Now()
				_, err := tr.Send(ctx, b)
				assert.Less(t, time.Since(begin), 2*time.Second)
				if err == nil {
					t.Error("acknowledged by nobody")
				}
			})
		}
		callers.Wait()
	}
}

// NATS's ways to log in beside user and password, and answers on subjects of one's own.
func TestNATSLogins(t *testing.T) {
	t.Parallel()
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	seed, err := pair.Seed()
	require.NoError(t, err)
	nkey := filepath.Join(t.TempDir(), "nkey")
	require.NoError(t, os.WriteFile(nkey, seed, 0o600))
	token := secretFile(t)
	for name, c := range map[string]struct{ users, mesh, login string }{
		"nkey": {
			`users: [{user: mesh, password: mesh}, {nkey: ` + public + `, permissions: {publish: driftmesh.inbox, subscribe: "_INBOX_own.>"}}]`,
			"mesh:mesh@", "?inbox-prefix=_INBOX_own&nkey=" + nkey,
		},
		"token": {"token: " + strconv.Quote(password), "", "?token-file=" + token},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "nats.conf")
			require.NoError(t, os.WriteFile(file, []byte("authorization {"+c.users+"}"), 0o600))
			node := nats.Start(t, nats.Options{ConfigFile: file})
			mesh := "nats://" + c.mesh + node.Addr()
			if c.mesh == "" {
				mesh += c.login
			}
			s := newSide(t, node, mesh, "nats://"+node.Addr()+c.login, transportnats.New)
			run := transporttest.NewSeries("default/wine")
			b, items := run.Batch(sdk.TypeSpans, 1, 100)
			arrives(t, closing(t, s.open, s.producer), b)
			require.Equal(t, map[string]int{items[0]: 1}, s.stored(t, run, items))
			require.True(t, told(t, send(t, closing(t, s.open, "nats://"+node.Addr()), b)).Permanent, "nobody")
		})
	}
}
