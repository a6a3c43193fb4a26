package compose_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/driver"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
	"github.com/driftmesh/driftmesh/test/server/rabbitmq"
)

// Each of the other brokers takes the configuration that secrets.sh makes for it, and
// the user in the services' URL may do on it what the mesh does.
func TestTheOtherBrokersTakeTheirConfiguration(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, secrets string) (url string){"redis": startRedis, "rabbitmq": startRabbitMQ, "kafka": startKafka} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provision(t, start(t, makeSecrets(t)))
		})
	}
}

// provision makes what the mesh makes, as ingest-worker does, publishes, and asks for
// the lag.
func provision(t *testing.T, url string) {
	t.Helper()
	b, err := driver.Open(t.Context(), driver.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = b.Close(ctx)
	})
	require.Eventually(t, func() bool { return b.Ping(t.Context()) == nil }, patience, 100*time.Millisecond)
	p, err := b.Publisher()
	require.NoError(t, err)
	for _, topic := range event.All() {
		require.NoError(t, b.Admin().EnsureTopic(t.Context(), broker.TopicSpec{Name: topic.Name, MaxBytes: 256 << 20}))
		for _, group := range topic.Groups {
			require.NoError(t, b.Admin().EnsureGroup(t.Context(), broker.GroupSpec{Topic: topic.Name, Name: group}))
		}
		require.NoError(t, p.Publish(t.Context(), []broker.Message{{Topic: topic.Name, Value: []byte("1")}}))
	}
	require.Eventually(t, func() bool {
		lag, err := b.Admin().Lag(t.Context(), event.Spans, event.GroupTraceStore)
		return err == nil && lag.Known && lag.Total() == 1
	}, 30*time.Second, 100*time.Millisecond)
}

// moved reads a file of secrets with names and paths of the network replaced.
func moved(t *testing.T, secrets, name string, pairs ...string) string {
	t.Helper()
	return strings.NewReplacer(pairs...).Replace(read(t, secrets, name))
}

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "configuration.conf")
	require.NoError(t, os.WriteFile(path, []byte(text+"\n"), 0o600))
	return path
}

func startRedis(t *testing.T, secrets string) (url string) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		server.Missing(t, "redis", err.Error())
	}
	address := server.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	conf := write(t, moved(t, secrets, "redis.conf", "bind * -::*", "bind 127.0.0.1\nport "+port, "dir /data", "dir "+t.TempDir()))
	server.Start(t, "redis", exec.Command(program, conf)).Await(patience, server.Listens(address))
	return moved(t, secrets, "redis-drift.url", "redis:6379", address)
}

func startRabbitMQ(t *testing.T, secrets string) (url string) {
	t.Helper()
	epmd := rabbitmq.Require(t)
	address, management, mapper := server.FreeAddress(t), server.FreeAddress(t), strconv.Itoa(server.FreePort(t))
	_, port, _ := net.SplitHostPort(management)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	conf := write(t, moved(t, secrets, "rabbitmq.conf", "= 2GB", "= 50MB")+"\nlisteners.tcp.1 = "+address+"\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = "+port)
	require.NoError(t, os.WriteFile(in("enabled_plugins"), []byte("[rabbitmq_management].\n"), 0o600)) // as in the image
	env := []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + dir, "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT=" + mapper,
		"RABBITMQ_NODENAME=compose-" + port + "@localhost", "RABBITMQ_DIST_PORT=" + strconv.Itoa(server.FreePort(t)),
		"RABBITMQ_CONF_ENV_FILE=" + in("none"), "RABBITMQ_CONFIG_FILE=" + conf, "RABBITMQ_ENABLED_PLUGINS_FILE=" + in("enabled_plugins"),
		"RABBITMQ_BASE=" + dir, "RABBITMQ_MNESIA_BASE=" + in("mnesia"), "RABBITMQ_LOG_BASE=" + in("log"), "RABBITMQ_LOGS=-",
		"RABBITMQ_SCHEMA_DIR=" + in("schema"), "RABBITMQ_GENERATED_CONFIG_DIR=" + in("schema"), "RABBITMQ_PID_FILE=" + in("server.pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
		"RABBITMQ_ALLOW_INPUT=true", "RABBITMQ_SERVER_START_ARGS=-noinput -start_epmd false",
	}
	mapping := exec.Command(epmd, "-address", "127.0.0.1", "-port", mapper) //nolint:gosec // found on the path
	mapping.Env = env
	server.Start(t, "epmd", mapping)
	node := exec.Command("/usr/lib/rabbitmq/bin/rabbitmq-server")
	node.Env, node.Dir = env, dir
	server.Start(t, "rabbitmq", node).Await(patience, server.Listens(address))
	return moved(t, secrets, "rabbitmq-drift.url", "rabbitmq:5672", address, "rabbitmq:15672", management)
}

func startKafka(t *testing.T, secrets string) (url string) {
	t.Helper()
	java, err := exec.LookPath("java")
	jars := filepath.Join(mesh.Root(t), ".bin", "kafka")
	if err == nil {
		_, err = os.Stat(jars)
	}
	if err != nil {
		server.Missing(t, "kafka", err.Error())
	}
	address, control, dir := server.FreeAddress(t), server.FreeAddress(t), t.TempDir()
	conf := write(t, moved(t, secrets, "kafka.properties", "CLIENT://:9092", "CLIENT://"+address, "kafka:9092", address, "127.0.0.1:9093", control, "/var/lib/kafka/data", dir))
	command := func(class string, args ...string) *exec.Cmd {
		return exec.Command(java, append([]string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dkafka.logs.dir=" + dir, "-cp", jars + "/*", class}, args...)...) //nolint:gosec // found on the path
	}
	// What the two scripts of the image call, with the arguments of the compose file.
	script := load(t, []string{"BROKER=kafka"}).Services["kafka"].Command[0]
	format := strings.Fields(strings.Split(script, " &&")[0])[1:]
	format[len(format)-1] = conf
	out, err := command("kafka.tools.StorageTool", format...).CombinedOutput()
	require.NoError(t, err, string(out))
	server.Start(t, "kafka", command("kafka.Kafka", conf)).Await(patience, server.Listens(address))
	return moved(t, secrets, "kafka-drift.url", "kafka:9092", address)
}
