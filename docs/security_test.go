package docs_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/test/mesh"
)

// Each promise in the threat model is held by tests, and those are there.
func TestTestsOfTheThreatModelExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("security.md")
	require.NoError(t, err)
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllSubmatch(text, -1) {
		named[string(m[1])] = true
	}
	require.Greater(t, len(named), 30)
	root := mesh.Root(t)
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && path != root):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		for name := range named {
			if bytes.Contains(source, []byte("\nfunc "+name+"(")) {
				delete(named, name)
			}
		}
		return err
	}))
	require.Empty(t, named, "docs/security.md names tests that are not there")
}
