package interop_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/asyncapi"
	"github.com/driftmesh/driftmesh/internal/event"
	"github.com/driftmesh/driftmesh/test/server"
)

// diagnostic is something that the parser has to say about a document.
type diagnostic struct {
	Severity            int
	Code, Path, Message string
}

// warning is the severity of warnings; errors are below it, advice above.
const warning = 1

// AsyncAPI's own parser, which their command line uses, finds nothing wrong
// with the document of the topics, protobuf schemas included.
func TestAsyncAPIsParserTakesTheDocument(t *testing.T) {
	document, err := asyncapi.Document()
	require.NoError(t, err)
	faults, addresses := parseAsyncAPI(t, document)
	require.Empty(t, faults)
	topics := len(event.All())
	require.Len(t, addresses, 2*topics, "one for Redis, one for the others")
	require.Contains(t, addresses, "driftmesh."+event.Inbox)

	for name, wrong := range map[string]struct{ old, new, fault string }{
		"reference": {"#/components/messages/", "#/components/nothing/", "does not exist"},
		"binding":   {"autoDelete: false", "autoDelete: 7", `"autoDelete" property type must be boolean`},
		"protobuf":  {"repeated ResourceSpans ", "repeated Nothing ", "no such Type or Enum 'Nothing'"},
	} {
		t.Run("wrong "+name, func(t *testing.T) {
			faults, addresses := parseAsyncAPI(t, bytes.ReplaceAll(document, []byte(wrong.old), []byte(wrong.new)))
			require.Nil(t, addresses)
			messages := ""
			for _, f := range faults {
				messages += f.Message + "\n"
			}
			require.Contains(t, messages, wrong.fault)
		})
	}
}

// parseAsyncAPI gives the errors and warnings that the parser has for a
// document, and the channels' addresses unless it refuses the document.
func parseAsyncAPI(t *testing.T, document []byte) ([]diagnostic, []string) {
	t.Helper()
	tool(t, "node", "test/interop/node/node_modules/@asyncapi/protobuf-schema-parser")
	node, err := exec.LookPath("node")
	if err != nil {
		server.Missing(t, "node", err.Error())
	}
	cmd := exec.CommandContext(t.Context(), node, "node/asyncapi.mjs")
	cmd.Stdin = bytes.NewReader(document)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var answer struct {
		Diagnostics []diagnostic
		Addresses   []string
	}
	require.NoError(t, json.Unmarshal(out, &answer), string(out))
	var faults []diagnostic
	for _, d := range answer.Diagnostics {
		if d.Severity <= warning {
			faults = append(faults, d)
		}
	}
	return faults, answer.Addresses
}
