package gateway

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/internal/process"
	"github.com/driftmesh/driftmesh/internal/settings"
	"github.com/driftmesh/driftmesh/internal/tlsfiles"
	"github.com/driftmesh/driftmesh/services/gateway/internal/origin"
	"github.com/driftmesh/driftmesh/services/gateway/internal/otlpdoor"
	"github.com/driftmesh/driftmesh/services/gateway/internal/records"
	"github.com/driftmesh/driftmesh/services/gateway/internal/source"
)

// Config is what can be set.
type Config struct {
	HTTP     string `name:"http" help:"Address of REST and of Jaeger's API." default:"127.0.0.1:8000" placeholder:"HOST:PORT"`
	Jaeger   string `help:"Address of Jaeger's API at its root, for clients that drop the path of a URL; empty for none." default:"127.0.0.1:16686" placeholder:"HOST:PORT"`
	GRPC     string `name:"grpc" help:"Address of the native gRPC API." default:"127.0.0.1:50051" placeholder:"HOST:PORT"`
	OTLPGRPC string `name:"otlp-grpc" help:"Address of OTLP over gRPC." default:"127.0.0.1:4317" placeholder:"HOST:PORT"`
	OTLPHTTP string `name:"otlp-http" help:"Address of OTLP over HTTP." default:"127.0.0.1:4318" placeholder:"HOST:PORT"`

	Anonymous  bool `help:"Let callers without credentials in, as tenant default. Only on loopback." default:"true" negatable:""`
	Insecure   bool `help:"Allow anonymous on other addresses than loopback too: whoever reaches them reads and writes tenant default. Allows plaintext too."`
	Plaintext  bool `help:"Take credentials over plain text on other addresses than loopback too: for where something in front of the gateway ends TLS."`
	Reflection bool `help:"Describe the gRPC services to whoever asks (gRPC reflection)." default:"true" negatable:""`

	MaxInFlight    settings.Size `help:"Bytes of requests held in memory at once, spans and records together; beyond it callers are told to try again." default:"384MiB"`
	PublishTimeout time.Duration `help:"How long the broker may take to make a request durable before the caller is told to try again." default:"10s"`

	MaxRequest  settings.Size `help:"Largest message or request body." default:"16MiB"`
	MaxRequests int           `help:"HTTP requests answered at a time; further ones are told to try again." default:"1024"`
	MaxStreams  uint32        `help:"Concurrent calls of one gRPC connection." default:"1024"`
	MaxIdle     time.Duration `help:"A gRPC connection without calls is closed after this." default:"15m"`
	MaxTails    int           `help:"Live tails at a time; further ones are told to try again." default:"256"`
	Drain       time.Duration `help:"How long calls may go on after the stop." default:"10s"`
	MaxTraced   float64       `help:"Calls per second of which the mesh records spans of its own because the caller asks for it, by a sampled traceparent; further ones are handled without." default:"100"`
	Hosts       []string      `help:"Names under which browsers and others reach the HTTP addresses, besides localhost and IP addresses; * is any. Checked where callers without credentials are let in, or when set: a web page that has its own name resolve to this machine would else speak as its user." placeholder:"HOST"`

	TLS tlsfiles.Files `embed:"" prefix:"tls."`

	Proxies []string `help:"Networks of the proxies in front of the gateway: who calls is whom they name in X-Forwarded-For. Wrong passwords are counted by it." placeholder:"NETWORK"`

	Scouter bool `help:"Speak Scouter's dialect: its HTTP API below /scouter and its gRPC services beside ours." default:"true" negatable:""`

	OTLP    otlpdoor.Config `embed:"" prefix:"otlp."`
	Records records.Limits  `embed:"" prefix:"records."`
}

// maxOutstanding batches of a stream are what still is a bound.
const maxOutstanding = 1024

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	errs := []error{c.checkPublic(), c.TLS.Check("gateway.tls.")}
	if _, err := source.Parse(c.Proxies); err != nil {
		errs = append(errs, fmt.Errorf("gateway.proxies: %w", err))
	}
	if c.Records.Outstanding < 0 || c.Records.Outstanding > maxOutstanding {
		errs = append(errs, fmt.Errorf("gateway.records.outstanding: must be from 1 to %d", maxOutstanding))
	}
	for name, n := range map[string]int64{
		"gateway.max-request": int64(c.MaxRequest), "gateway.max-requests": int64(c.MaxRequests),
		"gateway.max-tails": int64(c.MaxTails), "gateway.records.max-records": int64(c.Records.MaxRecords),
		"gateway.records.max-age": int64(c.Records.MaxAge), "gateway.records.max-ahead": int64(c.Records.MaxAhead),
		"gateway.max-in-flight": int64(c.MaxInFlight),
	} {
		if n < 0 {
			errs = append(errs, fmt.Errorf("%s: must not be negative", name))
		}
	}
	return errors.Join(errs...)
}

// checkPublic refuses to let just anybody in from other machines, and to have
// credentials sent from there for everybody on the way to read.
func (c Config) checkPublic() error {
	if c.Insecure || !c.Anonymous && (c.Plaintext || c.TLS.On()) {
		return nil
	}
	return c.checkLoopback()
}

func (c Config) checkLoopback() error {
	var open []string
	for name, addr := range map[string]string{
		"gateway.http": c.HTTP, "gateway.jaeger": c.Jaeger, "gateway.grpc": c.GRPC, "gateway.otlp-grpc": c.OTLPGRPC, "gateway.otlp-http": c.OTLPHTTP,
	} {
		if !process.Loopback(addr) {
			open = append(open, name+"="+addr)
		}
	}
	switch {
	case len(open) == 0:
		return nil
	case !c.Anonymous:
		return fmt.Errorf("%s: credentials would come over plain text, for everybody on the way to read. "+
			"Give a certificate (gateway.tls.cert and gateway.tls.key; driftmesh certs make makes one), or listen on 127.0.0.1; "+
			"where something in front ends TLS, say so (--gateway.plaintext)", strings.Join(open, ", "))
	}
	return fmt.Errorf("%s: anybody who reaches this address could read and write everything of tenant default. "+
		"Ask for credentials (--no-gateway.anonymous, or gateway.anonymous: false), or listen on 127.0.0.1; "+
		"if it is meant, say so (--gateway.insecure)", strings.Join(open, ", "))
}

// anonymous is the role of callers without credentials; empty when none are let
// in. Where only this machine can come, it is whoever sits at it.
func (c Config) anonymous() policy.Role {
	switch {
	case !c.Anonymous:
		return ""
	case c.checkLoopback() != nil:
		return policy.Operator
	}
	return policy.Local
}

// pages says what web pages may do: those of origins may send what changes
// something. Where everybody has to show credentials, which no browser sends by
// itself, names need no check.
func (c Config) pages(origins []string) origin.Config {
	return origin.Config{CheckHost: c.Anonymous || len(c.Hosts) > 0, Hosts: c.Hosts, Origins: origins}
}
