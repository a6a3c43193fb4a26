package otlpdoor

import (
	"time"

	"github.com/driftmesh/driftmesh/internal/otlp"
	"github.com/driftmesh/driftmesh/internal/settings"
)

// Config bounds the door. Zero values mean the defaults.
type Config struct {
	MaxRequest settings.Size `help:"Largest request, counted after decompression." default:"64MiB"`
	RetryDelay time.Duration `help:"When callers that are told to try again should do so." default:"1s"`

	otlp.Attributes `embed:""`

	MaxStreams   uint32        `help:"Concurrent calls of one gRPC connection." default:"256"`
	MaxIdle      time.Duration `help:"A connection without calls is closed after this." default:"15m"`
	MaxConnAge   time.Duration `help:"A gRPC connection is asked to reconnect after this, which spreads clients over gateways; 0 means never." default:"0s"`
	ReadTimeout  time.Duration `help:"How long a client may take to send a request, over HTTP or gRPC; calls of the native gRPC API too." default:"60s"`
	DrainTimeout time.Duration `help:"How long calls may go on after the stop." default:"10s"`
	CORSOrigins  []string      `name:"cors-origins" help:"Origins of web pages that may send traces over HTTP; * is any."`
}

// limits are the rules for spans; maxMessage is the broker's limit, 0 for none.
func (c Config) limits(maxMessage int) otlp.Limits {
	if maxMessage > 0 {
		maxMessage = max(maxMessage-headroom, 1)
	}
	return otlp.Limits{MaxMessage: maxMessage, Attributes: c.Attributes}
}

// headroom is what id and headers of a message take at most: void numbers 1
// KiB, trace state and baggage the rest.
const headroom = 4 << 10
