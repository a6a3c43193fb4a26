package docs_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/policy"
)

// Every feature of Scouter's has a row with a state, and what a row names is there.
func TestTheTableOfScoutersFeatures(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("scouter-parity.md")
	require.NoError(t, err)
	settings, err := os.ReadFile("config.md")
	require.NoError(t, err)
	commands, err := os.ReadFile("../cmd/driftmesh/main.go")
	require.NoError(t, err)
	known := map[string]bool{}
	routes, err := policy.Routes()
	require.NoError(t, err)
	for _, r := range routes {
		known[r.Verb+" "+r.Path] = true
	}
	for _, m := range policy.Methods() {
		known[m.Name] = true
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(settings), -1) {
		known["setting "+m[1]] = true
	}
	rows, named := 0, 0
	quoted := regexp.MustCompile("`([^`]+)`")
	links := regexp.MustCompile(`\]\(([^)#]+)`)
	route := regexp.MustCompile(`^(GET|POST|PUT|DELETE) /|^/[a-z.]+v1`)
	setting := regexp.MustCompile(`^(gateway|auth|drift|ingest-worker|trace-store)\.[a-z.-]+$`)
	for line := range strings.Lines(string(raw)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if n, err := strconv.Atoi(strings.TrimSpace(cells[0])); err != nil || !strings.HasPrefix(line, "| ") {
			continue
		} else {
			rows++
			require.Equal(t, rows, n)
		}
		require.GreaterOrEqual(t, len(cells), 3, line)
		require.Contains(t, []string{"served", "another way", "client's own", "not", "not yet"}, cells[2], line)
		if cells[2] != "client's own" {
			require.Len(t, cells, 4, line)
			require.NotEmpty(t, strings.TrimSpace(cells[3]), line)
		}
		for _, q := range quoted.FindAllStringSubmatch(line, -1) {
			switch text := q[1]; {
			case route.MatchString(text):
				require.True(t, known[text], "%s: %s is not there", line, text)
			case setting.MatchString(text):
				require.True(t, known["setting "+text], "%s: %s is no setting", line, text)
			case strings.HasPrefix(text, "driftmesh "):
				requireCommand(t, string(commands), strings.Fields(text)[1:])
			default:
				continue
			}
			named++
		}
		for _, l := range links.FindAllStringSubmatch(line, -1) {
			require.FileExists(t, l[1], line)
		}
	}
	require.Equal(t, 71, rows)
	require.Greater(t, named, 60, "the patterns of this test find what is named")
	page, err := os.ReadFile("scouter.md")
	require.NoError(t, err)
	require.Contains(t, string(page), "(scouter-parity.md)")
}

// requireCommand finds the words of a command among the fields of the commands.
func requireCommand(t *testing.T, main string, words []string) {
	t.Helper()
	of := regexp.MustCompile(`(?m)^\t(\w+) +(\w+) +.cmd:""`)
	in := map[string]string{}
	for _, m := range of.FindAllStringSubmatch(main, -1) {
		in[strings.ToLower(m[1])] = m[2]
	}
	kind := in[words[0]]
	require.NotEmpty(t, kind, words)
	if len(words) == 1 {
		return
	}
	files, err := os.ReadDir("../cmd/driftmesh")
	require.NoError(t, err)
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		raw, err := os.ReadFile("../cmd/driftmesh/" + f.Name())
		require.NoError(t, err)
		_, body, ok := strings.Cut(string(raw), "type "+kind+" struct {\n")
		if !ok {
			continue
		}
		body, _, _ = strings.Cut(body, "\n}\n")
		for _, m := range of.FindAllStringSubmatch("\t"+strings.TrimPrefix(body, "\t"), -1) {
			name := strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(m[1], "$1-$2"))
			if name == words[1] {
				return
			}
		}
	}
	require.Fail(t, "there is no such command", words)
}
