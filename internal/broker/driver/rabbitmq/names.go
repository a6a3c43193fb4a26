package rabbitmq

// exchange is where a topic is published.
func (c *conn) exchange(topic string) string { return c.target.prefix + "." + topic }

// queue is what a group reads, unless its settings name another.
func (c *conn) queue(topic, group string) string { return c.exchange(topic) + "." + group }

// shelf is the queue that keeps the messages of a DLQ from the beginning, until
// its first group makes it its own.
func (c *conn) shelf(topic string) string { return c.exchange(topic) }

// Names of ours have a colon, which topics and groups cannot have.

// settings is the queue that holds what was provisioned.
func (c *conn) settings(topic string) string { return c.exchange(topic) + ":settings" }

// lock is the exclusive queue whose owner may read and write the settings.
func (c *conn) lock(topic string) string { return c.exchange(topic) + ":lock" }

// used is the exchange whose existence says that somebody has published.
func (c *conn) used(topic string) string { return c.exchange(topic) + ":used" }
