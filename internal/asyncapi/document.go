package asyncapi

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/driftmesh/driftmesh/internal/event"
)

// Version of the specification that the document follows.
const Version = "3.0.0"

// document is the root, in the order in which people read it.
type document struct {
	AsyncAPI           string         `yaml:"asyncapi"`
	Info               info           `yaml:"info"`
	DefaultContentType string         `yaml:"defaultContentType"`
	Servers            map[string]any `yaml:"servers"`
	Channels           map[string]any `yaml:"channels"`
	Operations         map[string]any `yaml:"operations"`
	Components         components     `yaml:"components"`
}

type info struct {
	Title       string         `yaml:"title"`
	Version     string         `yaml:"version"`
	Description string         `yaml:"description"`
	License     map[string]any `yaml:"license"`
}

type components struct {
	Messages        map[string]any `yaml:"messages"`
	Schemas         map[string]any `yaml:"schemas"`
	SecuritySchemes map[string]any `yaml:"securitySchemes"`
}

// object is a YAML mapping; it is written in the order of its keys.
type object = map[string]any

const description = `What the services of driftmesh and producers outside it say to one another on the message broker. ` +
	`The broker is NATS JetStream, Kafka, RabbitMQ or Redis Streams; topics, headers and values are the same on all four, ` +
	`and x-driftmesh-wire says how each carries them.

Producers that bypass the gateway publish to the topic inbox. All other topics belong to the services: ` +
	`whoever can publish there is believed, so let nobody else; whoever can read there sees the data of all tenants.

Operations with the action send are for who publishes to a topic, those with receive for the group that reads it. ` +
	`Topics ending in .retry hold what waits for a service, those in .dlq what could not be handled.

Made by "make generate" from the code that provisions the topics; do not edit.
`

// Document gives the document as YAML.
func Document() ([]byte, error) {
	doc := document{
		AsyncAPI: Version,
		Info: info{
			Title: "driftmesh topics", Version: "1.0.0", Description: description,
			License: object{"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
		},
		DefaultContentType: "application/x-protobuf",
		Servers:            servers(), Channels: object{}, Operations: object{},
		Components: components{Messages: object{}, Schemas: object{}, SecuritySchemes: securitySchemes()},
	}
	for _, t := range event.All() {
		if err := doc.topic(t); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("write AsyncAPI document: %w", err)
	}
	return out.Bytes(), nil
}

// topic adds a topic: its messages, its channels and its operations.
func (d *document) topic(t event.Topic) error {
	messages := object{}
	for _, v := range t.Values {
		key := t.Name + "." + v.Name
		payload, err := d.payload(v)
		if err != nil {
			return fmt.Errorf("payload of %s: %w", key, err)
		}
		d.Components.Messages[key] = object{
			"name": key, "title": v.Carries, "contentType": v.ContentType,
			"summary": fmt.Sprintf("Header driftmesh-type is %s.", v.Type),
			"headers": ref("schemas", t.Name+".headers"), "payload": payload,
			"bindings": messageBindings(t), "externalDocs": object{"url": v.Schema},
			"x-driftmesh-type": v.Type,
		}
		messages[v.Name] = ref("messages", key)
	}
	d.Components.Schemas[t.Name+".headers"] = headerSchema(t)
	for _, c := range channelsOf(t) {
		c.body["messages"] = messages
		d.Channels[c.name] = c.body
		d.operations(t, c.name)
	}
	return nil
}

func (d *document) operations(t event.Topic, channel string) {
	messages := func() []any {
		var list []any
		for _, v := range t.Values {
			list = append(list, object{"$ref": "#/channels/" + pointer(channel) + "/messages/" + pointer(v.Name)})
		}
		return list
	}
	channelRef := object{"$ref": "#/channels/" + pointer(channel)}
	d.Operations["send."+channel] = object{
		"action": "send", "channel": channelRef, "messages": messages(),
		"summary": "Published by: " + t.Writers + ".", "x-driftmesh-open": t.Open,
		"bindings": operationBindings(channel, ""),
	}
	for _, g := range t.Groups {
		d.Operations["receive."+channel+"."+g] = object{
			"action": "receive", "channel": channelRef, "messages": messages(),
			"summary": "Read by the group " + g + ".", "x-driftmesh-group": g,
			"bindings": operationBindings(channel, g),
		}
	}
}

// headerSchema is the JSON Schema of a topic's headers.
func headerSchema(t event.Topic) object {
	properties := object{}
	var required []string
	for _, h := range t.Headers {
		p := object{"type": "string", "description": h.Meaning, "x-driftmesh-set-by": string(h.SetBy)}
		if h.Pattern != "" {
			p["pattern"] = h.Pattern
		}
		if len(h.Values) > 0 {
			p["enum"] = h.Values
		}
		if h.Example != "" {
			p["examples"] = []string{h.Example}
		}
		properties[h.Name] = p
		if h.Required {
			required = append(required, h.Name)
		}
	}
	s := object{
		"type": "object", "properties": properties, "additionalProperties": object{"type": "string"},
		"description": "Names are lower case, of a-z, 0-9, -, _ and dots. Values are UTF-8 without CR, LF and NUL; those of names that end in -bin are any bytes.",
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// ref points into the components.
func ref(kind, name string) object {
	return object{"$ref": "#/components/" + kind + "/" + pointer(name)}
}

// pointer escapes a name for a JSON pointer (RFC 6901).
func pointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
