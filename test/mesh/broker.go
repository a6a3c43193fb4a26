package mesh

import (
	"net"
	"net/url"
	"strconv"

	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/kafka"
	"github.com/driftmesh/driftmesh/test/server/nats"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
	"github.com/driftmesh/driftmesh/test/server/redis"
)

// Brokers are the names of the brokers that a mesh can run on.
var Brokers = []string{"nats", "kafka", "rabbitmq", "redis"}

// StartBroker starts a broker by its name, "nats" in programs that call
// nats.Child first. When its server is not on this
// machine the test is skipped, or fails, as server.Missing says.
func StartBroker(t server.T, name string) server.Broker {
	t.Helper()
	b, _ := startBroker(t, name, false)
	return b
}

// startBroker starts a broker and, if asked, a proxy that its clients go
// through; the broker's URL is then the proxy's.
func startBroker(t server.T, name string, proxied bool) (server.Broker, *server.Proxy) {
	t.Helper()
	var b server.Broker
	switch name {
	case "", "nats":
		b = nats.Start(t, nats.Options{MaxPayload: 8 << 20})
	case "kafka":
		return startKafka(t, proxied)
	case "rabbitmq":
		b = rabbitmq.Start(t, rabbitmq.Options{})
	case "redis":
		b = redis.Start(t, redis.Options{})
	default:
		t.Fatalf("there is no broker named %q", name)
	}
	if !proxied {
		return b, nil
	}
	return behindProxy(t, b)
}

// startKafka is special because Kafka tells its clients where to connect.
func startKafka(t server.T, proxied bool) (server.Broker, *server.Proxy) {
	t.Helper()
	if !proxied {
		return kafka.Start(t, kafka.Options{}), nil
	}
	port := server.FreePort(t)
	p := server.NewProxy(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	return kafka.Start(t, kafka.Options{Port: port, Advertise: p.Addr()}), p
}

// behindProxy puts a proxy before a broker whose clients only know its URL.
func behindProxy(t server.T, b server.Broker) (server.Broker, *server.Proxy) {
	t.Helper()
	u, err := url.Parse(b.URL())
	if err != nil {
		t.Fatalf("the broker's URL: %v", err)
	}
	p := server.NewProxy(t, u.Host)
	u.Host = p.Addr()
	return moved{b, u.String()}, p
}

// moved is a broker that is reached at another URL.
type moved struct {
	server.Broker
	url string
}

func (m moved) URL() string { return m.url }
