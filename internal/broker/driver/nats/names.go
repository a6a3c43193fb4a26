package nats

import "strings"

// Metadata of the streams and consumers we make.
const (
	metaTopic   = "driftmesh-topic"
	metaMayLose = "driftmesh-may-lose"
)

// stream is the stream of a topic.
func (c *conn) stream(topic string) string {
	return c.target.prefix + "_" + strings.ReplaceAll(topic, ".", "_")
}

// subject is where a topic is published.
func (c *conn) subject(topic string) string { return c.target.prefix + "." + topic }
