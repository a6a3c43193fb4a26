package mesh_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
	"github.com/driftmesh/driftmesh/test/server"
)

// lonely is the program gateway with a broker and no other service.
type lonely struct {
	*testing.T
	*mesh.Process
	admin, otlp string
}

func startLonely(t *testing.T, broker string, provision bool) *lonely {
	t.Helper()
	g := &lonely{T: t, admin: server.FreeAddress(t), otlp: server.FreeAddress(t)}
	g.Process = mesh.RunEnv(t, []string{
		"DRIFTMESH_BROKER_URL=" + broker, fmt.Sprintf("DRIFTMESH_BROKER_PROVISION=%t", provision),
		"DRIFTMESH_SQL_URL=sqlite:" + filepath.Join(t.TempDir(), "state"),
		"DRIFTMESH_MESH_SECRET=" + strings.Repeat("0123456789abcdef", 4), "DRIFTMESH_TELEMETRY_DISABLE=true",
		"DRIFTMESH_ADMIN_LISTEN=" + g.admin, "DRIFTMESH_GATEWAY_OTLP_HTTP=" + g.otlp,
		"DRIFTMESH_GATEWAY_HTTP=", "DRIFTMESH_GATEWAY_JAEGER=", "DRIFTMESH_GATEWAY_GRPC=", "DRIFTMESH_GATEWAY_OTLP_GRPC=",
	}, "gateway", mesh.Binary(t, "./services/gateway"))
	t.Cleanup(func() { _ = g.Stop() })
	g.WaitReady(g.admin)
	return g
}

// get fetches a path of the admin address.
func (g *lonely) get(path string) (status int, body string) {
	g.T.Helper()
	resp, err := http.Get("http://" + g.admin + path)
	require.NoError(g.T, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(g.T, err)
	return resp.StatusCode, string(raw)
}

func (g *lonely) send() int {
	g.T.Helper()
	return request(g.T, http.MethodPost, "http://"+g.otlp+"/v1/traces", "", oneSpan("shop", 1))
}

// works waits until the gateway is ready and takes spans.
func (g *lonely) works(within time.Duration) {
	g.T.Helper()
	mesh.Await(g.T, within, func() error {
		ready, body := g.get("/readyz?verbose")
		if took := g.send(); ready != http.StatusOK || took != http.StatusOK {
			return fmt.Errorf("readyz %d, spans %d: %s", ready, took, body)
		}
		return nil
	})
}

// fails waits until the gateway is not ready, for a reason that names what is
// gone, and so refuses spans.
func (g *lonely) fails(what string) {
	g.T.Helper()
	mesh.Await(g.T, 10*time.Second, func() error {
		ready, body := g.get("/readyz")
		if ready != http.StatusServiceUnavailable || !strings.Contains(body, what) {
			return fmt.Errorf("readyz %d: %s", ready, body)
		}
		return nil
	})
	require.Equal(g.T, http.StatusServiceUnavailable, g.send(), "the probe tells what callers meet")
}

// gone deletes topics with the broker's bare client library, by broker.
var gone = map[string]func(t *testing.T, url string){
	"nats": func(t *testing.T, url string) {
		conn, err := nats.Connect(url)
		require.NoError(t, err)
		defer conn.Close()
		js, err := jetstream.New(conn)
		require.NoError(t, err)
		require.NoError(t, js.DeleteStream(t.Context(), "driftmesh_spans"))
	},
	"rabbitmq": func(t *testing.T, url string) {
		conn, err := amqp.Dial(url)
		require.NoError(t, err)
		defer conn.Close()
		ch, err := conn.Channel()
		require.NoError(t, err)
		_, err = ch.QueueDelete("driftmesh.spans.trace-store", false, false, false)
		require.NoError(t, err)
	},
}

// Promise 10: a probe is green only while an accepted request would be. What
// somebody deletes on the broker turns it red, by name, until it is there again;
// where the mesh provisions, it makes that itself, and nobody is restarted.
func TestReadyMeansAPublishWorks(t *testing.T) {
	t.Parallel()
	for name, remove := range gone {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := mesh.StartBroker(t, name)
			mends := startLonely(t, broker.URL(), true)
			mends.works(10 * time.Second)
			remove(t, broker.URL())
			mesh.Await(t, 20*time.Second, func() error {
				if _, metrics := mends.get("/metrics"); !strings.Contains(metrics, `driftmesh_topics_mended_total{service="gateway",topic="spans"}`) {
					return fmt.Errorf("nothing was mended")
				}
				return nil
			})
			mends.works(10 * time.Second)

			watches := startLonely(t, broker.URL(), false)
			watches.works(10 * time.Second)
			mends.Freeze() // or it would be quicker than the probe
			remove(t, broker.URL())
			watches.fails("spans")
			mends.Thaw()
			watches.works(20 * time.Second)
		})
	}
}
