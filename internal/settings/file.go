package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// file is a kong.Resolver over a YAML file whose keys are the names of flags,
// nested at the dots.
type file struct {
	path    string
	tree    map[string]any
	values  map[string]any // full name → scalar or list
	foreign []string
}

func readFile(path string, given bool) (*file, error) {
	f := &file{path: path, values: map[string]any{}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !given {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(raw, &tree); err != nil {
		return nil, fmt.Errorf("read settings from %s: %w", path, err)
	}
	f.tree = tree
	flatten("", tree, f.values)
	return f, nil
}

func flatten(prefix string, tree map[string]any, into map[string]any) {
	for key, value := range tree {
		name := prefix + key
		if sub, ok := value.(map[string]any); ok {
			flatten(name+".", sub, into)
			continue
		}
		into[name] = value
	}
}

// Validate names every key that no setting has.
func (f *file) Validate(app *kong.Application) error {
	known := map[string]bool{}
	var whole []string // beginnings of names that belong to one setting
	var walk func(*kong.Node)
	walk = func(n *kong.Node) {
		for _, flag := range n.Flags {
			known[flag.Name] = true
			if isTree(flag) {
				whole = append(whole, flag.Name+".")
			}
		}
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(app.Node)
	var unknown []string
	for name := range f.values {
		section, _, _ := strings.Cut(name, ".")
		inside := slices.ContainsFunc(whole, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		if !known[name] && !inside && !slices.Contains(f.foreign, section) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("%s: unknown settings: %s", f.path, strings.Join(unknown, ", "))
}

// Resolve gives the file's value of a flag, or nil.
func (f *file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if isTree(flag) {
		return f.branch(flag.Name)
	}
	value, ok := f.values[flag.Name]
	if !ok || value == nil {
		return nil, nil
	}
	if list, ok := value.([]any); ok {
		parts := make([]string, len(list))
		for i, v := range list {
			parts[i] = fmt.Sprint(v)
		}
		return strings.Join(parts, ","), nil
	}
	return fmt.Sprint(value), nil
}

// branch is what the file has under a name, as YAML again; nil when nothing.
func (f *file) branch(name string) (any, error) {
	var at any = f.tree
	for part := range strings.SplitSeq(name, ".") {
		tree, ok := at.(map[string]any)
		if !ok || tree[part] == nil {
			return nil, nil
		}
		at = tree[part]
	}
	if text, ok := at.(string); ok {
		return text, nil
	}
	text, err := yaml.Marshal(at)
	if err != nil {
		return nil, fmt.Errorf("read setting %s: %w", name, err)
	}
	return string(text), nil
}

func isTree(flag *kong.Flag) bool {
	_, ok := flag.Target.Interface().(tree)
	return ok
}
