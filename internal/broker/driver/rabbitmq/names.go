package rabbitmq

import "github.com/driftmesh/driftmesh/internal/broker"

// exchange is where a topic is published.
func (c *conn) exchange(topic string) string { return c.target.prefix + "." + topic }

// queue is what a group reads. The groups of a DLQ share the one queue that it
// has from the beginning.
func (c *conn) queue(topic, group string) string {
	if c.target.queue != "" {
		return c.target.queue
	}
	if broker.IsDLQ(topic) {
		return c.exchange(topic)
	}
	return c.exchange(topic) + "." + group
}
