package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// exported are the names that a package of the SDK has for others, methods among
// them.
func exported(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names[d.Name.Name] = true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						names[s.Name.Name] = true
					case *ast.ValueSpec:
						for _, n := range s.Names {
							names[n.Name] = true
						}
					}
				}
			}
		}
	}
	require.NotEmpty(t, names, dir)
	return names
}

// What the pages about the SDK name is there.
func TestTheSDKHasWhatItsPagesName(t *testing.T) {
	t.Parallel()
	packages := map[string]map[string]bool{}
	for _, name := range []string{"", "sdktest", "grpctracing", "httptracing", "profile"} {
		packages[strings.TrimPrefix(name+".", ".")] = exported(t, filepath.Join("../sdk", name))
	}
	packages["sdk."] = packages[""]
	pages, err := fs.Glob(os.DirFS("."), "sdk*.md")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(pages), 3)
	found := 0
	for _, page := range pages {
		raw, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`\b(sdk|sdktest|grpctracing|httptracing|profile)\.([A-Z]\w*)`).FindAllStringSubmatch(string(raw), -1) {
			require.True(t, packages[m[1]+"."][m[2]], "%s names %s", page, m[0])
			found++
		}
		for _, m := range regexp.MustCompile(`\bWith[A-Z]\w*`).FindAllString(string(raw), -1) {
			require.True(t, packages["sdk."][m] || packages["grpctracing."][m] || packages["httptracing."][m], "%s names %s", page, m)
		}
	}
	require.Greater(t, found, 50)
}
