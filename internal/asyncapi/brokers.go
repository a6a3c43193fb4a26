package asyncapi

import (
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/event"
)

// prefix is what drivers put before a topic's name unless their URL says
// otherwise.
const prefix = "driftmesh"

// redisChannel ends the name of the channel of a topic on Redis, which has an
// address of its own.
const redisChannel = "-redis"

func servers() object {
	server := func(host, protocol, version, text string, security ...string) object {
		s := object{"host": host, "protocol": protocol, "description": text}
		if version != "" {
			s["protocolVersion"] = version
		}
		var list []any
		for _, name := range security {
			list = append(list, ref("securitySchemes", name))
		}
		s["security"] = list
		return s
	}
	return object{
		"nats":     server("127.0.0.1:4222", "nats", "", "NATS with JetStream. Publish with a reply subject and wait for the acknowledgement of the stream.", "userPassword", "token", "certificate"),
		"kafka":    server("127.0.0.1:9092", "kafka", "", "Apache Kafka and what speaks its protocol. Publish with acks=all.", "scramSha256", "scramSha512", "plain", "certificate"),
		"rabbitmq": server("127.0.0.1:5672", "amqp", "0.9.1", "RabbitMQ. Publish persistent and mandatory messages and wait for the confirm.", "userPassword", "certificate"),
		"redis":    server("127.0.0.1:6379", "redis", "7.0", "Redis Streams. Publish with XADD.", "userPassword", "certificate"),
	}
}

func securitySchemes() object {
	return object{
		"userPassword": object{"type": "userPassword", "description": "User and password of the broker."},
		"token":        object{"type": "apiKey", "in": "password", "description": "A token of the broker."},
		"certificate":  object{"type": "X509", "description": "A client certificate; TLS is the URL's."},
		"plain":        object{"type": "plain", "description": "SASL/PLAIN, over TLS."},
		"scramSha256":  object{"type": "scramSha256", "description": "SASL/SCRAM-SHA-256."},
		"scramSha512":  object{"type": "scramSha512", "description": "SASL/SCRAM-SHA-512."},
	}
}

type channel struct {
	name string
	body object
}

// channelsOf are a topic's channels: one for the brokers on which its address
// is the same, one for Redis.
func channelsOf(t event.Topic) []channel {
	address := prefix + "." + t.Name
	text := t.Carries
	body := func(servers ...string) object {
		var list []any
		for _, s := range servers {
			list = append(list, object{"$ref": "#/servers/" + s})
		}
		b := object{"title": t.Name, "description": text, "servers": list, "x-driftmesh-topic": t.Name, "x-driftmesh-open": t.Open}
		if len(t.Limits) > 0 {
			b["x-driftmesh-limits"] = t.Limits
		}
		if t.Key != "" {
			b["x-driftmesh-key"] = t.Key
		}
		return b
	}
	common := body("nats", "kafka", "rabbitmq")
	common["address"] = address
	common["bindings"] = object{
		"kafka": object{"topic": address, "bindingVersion": "0.5.0"},
		"amqp": object{
			"is": "routingKey", "bindingVersion": "0.3.0",
			"exchange": object{"name": address, "type": "fanout", "durable": true, "autoDelete": false, "vhost": "/"},
		},
	}
	common["x-driftmesh-wire"] = wire("nats", "kafka", "rabbitmq")
	onRedis := body("redis")
	// The braces are part of the key, a Redis Cluster hash tag; in an address
	// they would name a parameter.
	onRedis["address"] = prefix + ":{tag}"
	onRedis["parameters"] = object{"tag": object{
		"enum": []string{"{" + t.Name + "}"}, "default": "{" + t.Name + "}",
		"description": "The topic's name in braces: the key is " + prefix + ":{" + t.Name + "}.",
	}}
	onRedis["x-driftmesh-wire"] = wire("redis")
	return []channel{{t.Name, common}, {t.Name + redisChannel, onRedis}}
}

// wire says how brokers carry a message's parts.
func wire(brokers ...string) object {
	all := map[string]object{
		"nats": {
			"subject": "The address; the stream is driftmesh_ and the topic's name, with dots turned into underscores.",
			"value":   "The payload.", "headers": "NATS headers of the same name.",
			"id": "Header Nats-Msg-Id; a second message of the same id within two minutes is dropped, but not where x-driftmesh-open is true, because there producers choose ids.", "key": "Header driftmesh-x-key.",
		},
		"kafka": {
			"topic": "The address.", "value": "The record's value.", "headers": "Record headers of the same name.",
			"id": "Header driftmesh-x-id.", "key": "The record's key; records of one key go to the partition that Java's default partitioner chooses (murmur2).",
		},
		"rabbitmq": {
			"exchange": "The address: a durable fanout exchange.", "value": "The body.", "headers": "Headers of the same name, as long strings.",
			"id": "Property message-id. Without it a message that is delivered twice is taken for two.", "key": "The routing key.",
			"user": "Property user-id, which RabbitMQ verifies.",
		},
		"redis": {
			"key": "The stream's key is the address.", "value": "Field v of the entry.", "headers": "Fields h:NAME.",
			"id": "Field i.", "orderingKey": "Field k.",
			"full": "XADD answers \"ERR The stream has exhausted the last possible ID\" while the topic is full: publish again later.",
		},
	}
	out := object{}
	for _, b := range brokers {
		out[b] = all[b]
	}
	return out
}

func messageBindings(t event.Topic) object {
	kafka := object{"bindingVersion": "0.5.0"}
	if t.Key != "" {
		kafka["key"] = object{"type": "string", "format": "binary", "description": t.Key}
	}
	return object{"kafka": kafka, "amqp": object{"contentEncoding": "identity", "bindingVersion": "0.3.0"}}
}

// operationBindings are those of publishing, or of reading as a group.
func operationBindings(channel, group string) object {
	if strings.HasSuffix(channel, redisChannel) {
		return object{"redis": object{}}
	}
	if group == "" {
		return object{"amqp": object{"deliveryMode": 2, "mandatory": true, "bindingVersion": "0.3.0"}, "kafka": object{"bindingVersion": "0.5.0"}}
	}
	id := strings.Join([]string{prefix, channel, group}, ".")
	return object{
		"nats":  object{"queue": group, "bindingVersion": "0.1.0"},
		"kafka": object{"groupId": object{"type": "string", "enum": slices.Clip([]string{id})}, "bindingVersion": "0.5.0"},
		"amqp":  object{"ack": true, "bindingVersion": "0.3.0"},
	}
}
