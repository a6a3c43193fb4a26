package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftmesh/driftmesh/internal/broker"
)

// streamConfig is the configuration of a stream that is made for a topic.
func (c *conn) streamConfig(spec broker.TopicSpec) jetstream.StreamConfig {
	if spec.Replicas == 0 {
		spec.Replicas = c.target.replicas
	}
	spec = spec.WithDefaults()
	cfg := jetstream.StreamConfig{
		Name:        c.stream(spec.Name),
		Description: "driftmesh topic " + spec.Name,
		Subjects:    []string{c.subject(spec.Name)},
		Retention:   jetstream.LimitsPolicy, // several groups, and replay
		Storage:     jetstream.FileStorage,
		MaxAge:      spec.MaxAge,
		MaxBytes:    spec.MaxBytes,
		Replicas:    spec.Replicas,
		Duplicates:  spec.Dedupe,
		AllowDirect: true,
		Metadata:    map[string]string{metaTopic: spec.Name},
	}
	return c.mended(cfg, spec)
}

// mended is a configuration with what promises depend on put right; everything
// else is as whoever made the stream wants it.
func (c *conn) mended(cfg jetstream.StreamConfig, spec broker.TopicSpec) jetstream.StreamConfig {
	cfg.Discard = jetstream.DiscardNew // a full stream refuses; the janitor makes room
	switch {
	case spec.Dedupe != broker.NoDedupe:
	case !storesAll(c.pub.nc.ConnectedServerVersion()):
		cfg.Duplicates = broker.DLQDedupe
	default:
		cfg.Duplicates = 0
		if len(cfg.Sources) == 0 {
			cfg.Sources = []*jetstream.StreamSource{{Name: c.stream(nothing)}}
		}
	}
	return cfg
}

// nothing names a stream that never has a message. A window of zero makes a
// stream store whatever comes under an id; but the server puts its default, two
// minutes, in the place of zero, except where the stream has a source. So such a
// stream is given one. No topic has capitals, and so none has this name.
const nothing = "NOTHING"

// storesAll reports whether a server can be kept from dropping messages by their
// id, by its version: 2.14 is the first. With others the window is the shortest
// there is.
func storesAll(version string) bool {
	var major, minor int
	_, err := fmt.Sscanf(version, "%d.%d", &major, &minor)
	return err != nil || major > 2 || major == 2 && minor >= 14
}

// ensureNothing makes that stream exist, beside the topic of spec.
func (c *conn) ensureNothing(ctx context.Context, spec broker.TopicSpec) error {
	_, err := c.js.Stream(ctx, c.stream(nothing))
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	_, err = c.js.CreateStream(ctx, jetstream.StreamConfig{
		Name:        c.stream(nothing),
		Description: "driftmesh: always empty; having it as a source frees a stream of deduplication",
		Subjects:    []string{c.subject(nothing)},
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    1, // smaller than any message
		Replicas:    max(spec.Replicas, c.target.replicas),
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil // somebody was faster
	}
	return err
}
