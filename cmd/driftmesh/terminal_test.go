package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/stretchr/testify/require"

	tracev1 "github.com/driftmesh/driftmesh/proto/driftmesh/trace/v1"
)

// hostile are texts that take over a terminal, or make a line look like another.
var hostile = map[string]string{
	"clear the screen":        "a\x1b[2J\x1b[Hb",
	"set the title (OSC)":     "a\x1b]0;owned\x07b",
	"write the clipboard":     "a\x1b]52;c;cm0gLXJmIH4=\x1b\\b",
	"CSI as C1":               "a\u009b31mb",
	"CSI as one raw byte":     "a\x9b31mb",
	"back over what was said": "a\b\b\rb",
	"delete":                  "a\x7fb",
	"right to left":           "a\u202egnp.exe\u202cb",
	"isolate":                 "a\u2066b\u2069",
	"arabic letter mark":      "a\u061cb",
}

func requireTame(t *testing.T, out []byte) {
	t.Helper()
	require.True(t, bytes.HasPrefix(out, []byte("ROOT")) || json.Valid(out), "%q", out)
	for _, r := range string(out) {
		require.False(t, unsafe(r, false), "%q", out)
	}
}

// Whatever a name holds, in a table and in JSON, the terminal gets nothing to
// obey, and JSON still says what the name was.
func TestNamesOfStrangersAreNoCommandsToTheTerminal(t *testing.T) {
	t.Parallel()
	for name, text := range hostile {
		valid := strings.ToValidUTF8(text, "\uFFFD")
		answer := &tracev1.SearchTracesResponse{Traces: []*tracev1.TraceSummary{{RootOperation: valid}}}
		for _, form := range []string{"table", "json"} {
			var out bytes.Buffer
			err := clientFlags{Output: form}.show(safeWriter{&out}, answer, func(w *tabwriter.Writer) {
				row(w, "ROOT")
				row(w, text)
			})
			require.NoError(t, err)
			requireTame(t, out.Bytes())
			if form == "json" {
				var got struct {
					Traces []struct {
						Operation string `json:"root_operation"`
					}
				}
				require.NoError(t, json.Unmarshal(out.Bytes(), &got))
				require.Equal(t, valid, got.Traces[0].Operation, name)
			}
		}
	}
}

func TestANameMakesNoLineOfItsOwn(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	row(&out, "name\nTRACE\tforged", "日本語 é")
	require.Equal(t, "name\\nTRACE\\tforged\t日本語 é\n", out.String())
}

// Errors carry what a server said.
func TestErrorsAreTamed(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"traces", "services", "\x1b[2J"}, console{out: safeWriter{&out}, err: safeWriter{&errs}})
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs.String(), `\u001b[2J`)
	require.NotContains(t, errs.String(), "\x1b")
}
