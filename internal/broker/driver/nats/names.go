package nats

import "strings"

// metadata keys of streams and consumers we made.
const (
	metaTopic = "driftmesh-topic"
)

// stream is the stream of a topic.
func (c *conn) stream(topic string) string {
	return c.target.prefix + "_" + strings.ReplaceAll(topic, ".", "_")
}

// subject is where a topic is published.
func (c *conn) subject(topic string) string { return c.target.prefix + "." + topic }
