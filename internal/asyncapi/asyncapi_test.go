package asyncapi_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/driftmesh/driftmesh/internal/asyncapi"
	"github.com/driftmesh/driftmesh/internal/broker"
	"github.com/driftmesh/driftmesh/internal/broker/runner"
	"github.com/driftmesh/driftmesh/internal/event"
)

type object = map[string]any

func parsed(t *testing.T) object {
	t.Helper()
	text, err := asyncapi.Document()
	require.NoError(t, err)
	var doc object
	require.NoError(t, yaml.Unmarshal(text, &doc))
	return doc
}

func TestDocumentIsFresh(t *testing.T) {
	t.Parallel()
	want, err := asyncapi.Document()
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join("..", "..", "docs", "asyncapi.yaml"))
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "docs/asyncapi.yaml is stale: run make generate")
}

// resolve follows a reference within the document.
func resolve(doc object, ref string) (any, error) {
	var at any = doc
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil, fmt.Errorf("%s does not point into the document", ref)
	}
	for part := range strings.SplitSeq(path, "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		m, ok := at.(object)
		if !ok || m[part] == nil {
			return nil, fmt.Errorf("%s: nothing at %s", ref, part)
		}
		at = m[part]
	}
	return at, nil
}

// walk visits every mapping of a document.
func walk(path string, node any, visit func(path string, m object)) {
	switch n := node.(type) {
	case object:
		visit(path, n)
		for k, v := range n {
			walk(path+"/"+k, v, visit)
		}
	case []any:
		for i, v := range n {
			walk(fmt.Sprintf("%s/%d", path, i), v, visit)
		}
	}
}

// The structural rules of AsyncAPI 3.0, as far as this document uses it.
func TestDocumentKeepsTheRules(t *testing.T) {
	t.Parallel()
	doc := parsed(t)
	require.Equal(t, "3.0.0", doc["asyncapi"])
	for _, key := range []string{"title", "version"} {
		require.NotEmpty(t, doc["info"].(object)[key])
	}
	for key := range doc {
		require.Contains(t, []string{"asyncapi", "id", "info", "defaultContentType", "servers", "channels", "operations", "components"}, key)
	}
	walk("", doc, func(path string, m object) {
		if ref, ok := m["$ref"].(string); ok {
			_, err := resolve(doc, ref)
			require.NoError(t, err, path)
			require.Len(t, m, 1, "%s: a reference stands alone", path)
		}
	})
	name := regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
	for _, kind := range []string{"messages", "schemas", "securitySchemes"} {
		for key := range doc["components"].(object)[kind].(object) {
			require.Regexp(t, name, key)
		}
	}
	require.Len(t, doc["servers"], 4)
	for key, s := range doc["servers"].(object) {
		require.NotEmpty(t, s.(object)["host"], key)
		require.Contains(t, []string{"nats", "kafka", "amqp", "redis"}, s.(object)["protocol"], key)
		require.NotEmpty(t, s.(object)["security"], key)
	}
	for key, s := range doc["components"].(object)["securitySchemes"].(object) {
		require.Contains(t, []string{"userPassword", "apiKey", "X509", "plain", "scramSha256", "scramSha512"}, s.(object)["type"], key)
	}
	checkChannels(t, doc)
	checkOperations(t, doc)
	checkMessages(t, doc)
}

func checkChannels(t *testing.T, doc object) {
	t.Helper()
	parameter := regexp.MustCompile(`\{([^}]*)\}`)
	for key, c := range doc["channels"].(object) {
		channel := c.(object)
		address := channel["address"].(string)
		require.NotEmpty(t, channel["messages"], key)
		require.NotEmpty(t, channel["servers"], key)
		for _, p := range parameter.FindAllStringSubmatch(address, -1) {
			require.Contains(t, channel["parameters"], p[1], "%s: parameter of %s", key, address)
		}
	}
}

func checkOperations(t *testing.T, doc object) {
	t.Helper()
	for key, o := range doc["operations"].(object) {
		op := o.(object)
		require.Contains(t, []string{"send", "receive"}, op["action"], key)
		channel := op["channel"].(object)["$ref"].(string)
		require.True(t, strings.HasPrefix(channel, "#/channels/"), key)
		for _, m := range op["messages"].([]any) {
			require.True(t, strings.HasPrefix(m.(object)["$ref"].(string), channel+"/messages/"), "%s: a message of its channel", key)
		}
	}
}

func checkMessages(t *testing.T, doc object) {
	t.Helper()
	for key, m := range doc["components"].(object)["messages"].(object) {
		message := m.(object)
		for _, part := range []string{"name", "contentType", "headers", "payload"} {
			require.NotEmpty(t, message[part], "%s: %s", key, part)
		}
		headers, err := resolve(doc, message["headers"].(object)["$ref"].(string))
		require.NoError(t, err)
		require.Equal(t, "object", headers.(object)["type"], "%s: headers are an object", key)
		for name, p := range headers.(object)["properties"].(object) {
			property := p.(object)
			require.Equal(t, "string", property["type"])
			require.NotEmpty(t, property["description"], name)
			pattern, _ := property["pattern"].(string)
			for _, example := range list(property["examples"]) {
				require.Regexp(t, pattern, example, name)
			}
			require.NoError(t, broker.ValidHeader(&broker.Header{Key: name}))
		}
		payload, err := resolve(doc, message["payload"].(object)["$ref"].(string))
		require.NoError(t, err)
		if schema, ok := payload.(object)["schema"].(string); ok {
			require.Equal(t, "application/vnd.google.protobuf;version=3", payload.(object)["schemaFormat"])
			require.True(t, strings.HasPrefix(schema, "syntax = \"proto3\";"), key)
		}
	}
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// Every topic that is provisioned is there, for every broker, with its groups.
func TestDocumentHasEveryTopic(t *testing.T) {
	t.Parallel()
	doc := parsed(t)
	channels, operations := doc["channels"].(object), doc["operations"].(object)
	for _, topic := range event.All() {
		require.Equal(t, "driftmesh."+topic.Name, channels[topic.Name].(object)["address"])
		require.Len(t, channels[topic.Name].(object)["servers"], 3)
		onRedis := channels[topic.Name+"-redis"].(object)
		tag := onRedis["parameters"].(object)["tag"].(object)["default"].(string)
		require.Equal(t, "driftmesh:{"+topic.Name+"}", strings.Replace(onRedis["address"].(string), "{tag}", tag, 1))
		for _, suffix := range []string{"", "-redis"} {
			require.Contains(t, operations, "send."+topic.Name+suffix)
			for _, g := range topic.Groups {
				require.Contains(t, operations, "receive."+topic.Name+suffix+"."+g)
			}
		}
	}
}

// The catalogue's words for dead letters are those of package runner.
func TestDeadLettersAreAsTheRunnerWritesThem(t *testing.T) {
	t.Parallel()
	inbox, ok := event.Lookup(event.Inbox)
	require.True(t, ok)
	require.Equal(t, broker.DLQ(event.Inbox), inbox.DeadLetters().Name)
	described := map[string]bool{}
	for _, h := range inbox.DeadLetters().Headers {
		require.False(t, runner.Secret(h.Name), h.Name)
		require.False(t, described[h.Name], "%s twice", h.Name)
		described[h.Name] = true
	}
	parked := runner.Parked(&broker.Delivery{Message: broker.Message{Topic: event.Inbox, Headers: []broker.Header{
		{Key: event.HeaderAuthorization, Value: []byte("Bearer x")}, {Key: event.HeaderAPIKey, Value: []byte("dm_x")},
	}}}, runner.Park{})
	for _, h := range parked.Headers {
		require.True(t, described[h.Key], h.Key)
	}
	require.Equal(t, broker.HeaderBrokerUser, event.HeaderBrokerUser)
	require.Equal(t, broker.HeaderTenant, event.HeaderTenant)
	require.Equal(t, broker.HeaderTime, event.HeaderTime)
	require.Equal(t, broker.HeaderTraceParent, event.HeaderTraceParent)
}
