package process

import (
	"errors"
	"net"
	"slices"
	"time"

	"github.com/driftmesh/driftmesh/internal/rpc"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/telemetry"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
)

// Shared are the settings that every program of the mesh has: what the process
// lends to its services.
type Shared struct {
	Config string        `help:"Settings file (YAML)." placeholder:"FILE"`
	Memory settings.Size `help:"Memory that this process should stay below: garbage is collected harder near it. Not a hard limit; 0 is none. GOMEMLIMIT, where it is set, wins." default:"${memory}"`

	Log        telemetry.LogConfig     `embed:"" prefix:"log." group:"log"`
	Telemetry  telemetry.TracingConfig `embed:"" prefix:"telemetry." group:"telemetry"`
	Metrics    rpc.MetricsConfig       `embed:"" prefix:"metrics." group:"metrics"`
	Admin      Admin                   `embed:"" prefix:"admin." group:"admin"`
	Broker     Broker                  `embed:"" prefix:"broker." group:"broker"`
	ClickHouse ClickHouse              `embed:"" prefix:"clickhouse." group:"clickhouse"`
	SQL        SQL                     `embed:"" prefix:"sql." group:"sql"`
	Mesh       Mesh                    `embed:"" prefix:"mesh." group:"mesh"`

	// InForce are all settings of the program, for who asks how it runs.
	InForce settings.InForce `kong:"-"`
}

// Admin is the listener for operators.
type Admin struct {
	Listen    string          `help:"Address of metrics and health; empty for none." default:"127.0.0.1:9464" placeholder:"HOST:PORT"`
	TLS       tlsfiles.Files  `embed:"" prefix:"tls."`
	Token     settings.Secret `help:"Bearer token that /metrics wants to see, and /readyz before it says why something is not ready; file:PATH reads it from a file. Without one /metrics is for everybody who reaches the address, and reasons are for callers on this machine."`
	Plaintext bool            `help:"Take the token over plain text on other addresses than loopback too."`
	PProf     string          `name:"pprof" help:"Address of Go's profiles (/debug/pprof), which only loopback may have; empty for none." placeholder:"HOST:PORT"`
}

// URL is the address with its scheme.
func (a Admin) URL() string {
	if a.TLS.On() {
		return "https://" + a.Listen
	}
	return "http://" + a.Listen
}

// Broker is where messages go.
type Broker struct {
	URL       settings.Secret `secret:"url" help:"Message broker: nats://, kafka://, amqp:// or redis://USER:PASSWORD@HOST:PORT; encrypted with nats+tls://, kafka+tls://, amqps:// or rediss://." default:"${broker_url}" placeholder:"URL"`
	Provision bool            `help:"Create topics and groups that do not exist, at the start and ever after." default:"true" negatable:""`
	MaxAge    time.Duration   `help:"How long a new topic keeps messages." default:"72h"`
	MaxBytes  settings.Size   `help:"How much a new topic keeps. What every group has acknowledged goes first, the oldest first; when that is not enough, publishing is refused." default:"4GiB"`
	Replicas  int             `help:"Copies of a new topic; 0 is what the broker's URL says, or 1." default:"0"`
}

// ClickHouse is where telemetry is stored.
type ClickHouse struct {
	URL     settings.Secret `secret:"url" help:"ClickHouse over HTTP: http://USER:PASSWORD@HOST:8123/DATABASE; https with ?ca=FILE&cert=FILE&key=FILE where it has an authority of its own, or wants a certificate." default:"${clickhouse_url}" placeholder:"URL"`
	Cluster string          `help:"Name of the ClickHouse cluster; empty for a single server."`
}

// SQL is where small transactional state is stored.
type SQL struct {
	URL settings.Secret `secret:"url" help:"State of accounts and profiles: sqlite:DIRECTORY or postgres://USER:PASSWORD@HOST/DATABASE." default:"${sql_url}" placeholder:"URL"`
}

// Mesh is how the services find and trust one another.
type Mesh struct {
	Secret       settings.Secrets `help:"Secret that the services share, 32 bytes or more; file:PATH reads it from a file, which may have several, one on a line: the first signs, what any of them signed is believed, and a file that changes is read anew within seconds (driftmesh secret rotate)."`
	Auth         string           `help:"Address of auth." default:"127.0.0.1:50061" placeholder:"HOST:PORT"`
	Drift        string           `help:"Address of drift." default:"127.0.0.1:50062" placeholder:"HOST:PORT"`
	TraceStore   string           `help:"Address of trace-store." default:"127.0.0.1:50063" placeholder:"HOST:PORT"`
	IngestWorker string           `help:"Address of ingest-worker." default:"127.0.0.1:50064" placeholder:"HOST:PORT"`

	TLS       tlsfiles.MutualFiles `embed:"" prefix:"tls."`
	Unsigned  bool                 `help:"Believe messages on the mesh's own topics that have no signature: while those are read that were published before an upgrade to a release that signs."`
	Plaintext bool                 `help:"Let services listen for one another on other addresses than loopback without TLS: where their network is their own."`
}

// Defaults of the shared settings where a service is a program of its own.
// The all-in-one brings a broker and a store of its own instead.
var Defaults = map[string]string{
	"broker_url":     "nats://127.0.0.1:4222",
	"clickhouse_url": "http://default@127.0.0.1:8123/driftmesh",
	"sql_url":        "sqlite:data/state",
	"log_level":      "info",
	"memory":         "128MiB",
}

// MinSecret is the least length of the mesh secret in bytes.
const MinSecret = 32

// Validate reports every shared setting that cannot work.
func (s Shared) Validate() error {
	var errs []error
	if slices.ContainsFunc(s.Mesh.Secret.List(), func(one settings.Secret) bool { return len(one) < MinSecret }) {
		errs = append(errs, errors.New("mesh.secret: must be at least 32 bytes long"))
	}
	if err := s.Mesh.TLS.Check("mesh.tls."); err != nil {
		errs = append(errs, err)
	}
	if s.Telemetry.Roots < 0 {
		errs = append(errs, errors.New("telemetry.roots: must not be negative"))
	}
	if err := s.Admin.TLS.Check("admin.tls."); err != nil {
		errs = append(errs, err)
	}
	if !Loopback(s.Admin.Listen) && s.Admin.Token != "" && !s.Admin.TLS.On() && !s.Admin.Plaintext {
		errs = append(errs, errors.New("admin.listen: the token would come over plain text: give admin.tls.cert and admin.tls.key, or say that this is meant (admin.plaintext)"))
	}
	if !Loopback(s.Admin.PProf) {
		errs = append(errs, errors.New("admin.pprof: must be an address of loopback: profiles show memory, and taking one costs CPU"))
	}
	if s.Broker.Replicas < 0 {
		errs = append(errs, errors.New("broker.replicas: must not be negative"))
	}
	return errors.Join(errs...)
}

// Loopback reports whether an address can be reached from this machine only.
// An address that cannot be read counts as public; listening will tell.
func Loopback(addr string) bool {
	if addr == "" {
		return true // not listened on
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
