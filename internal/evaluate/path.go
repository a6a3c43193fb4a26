package evaluate

import (
	"fmt"
	"regexp"
	"strconv"
)

// steps of a path: names of members, and positions in lists. What is neither stands
// between them.
var steps = regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_]*|\[[0-9]+\]`)

// Bounds of a path.
const (
	maxPath  = 512
	maxSteps = 32
)

// at is the value that a path leads to.
func at(v any, path string) (any, error) {
	all := steps.FindAllString(path, -1)
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("the path %.60q leads nowhere", path)
	case len(path) > maxPath || len(all) > maxSteps:
		return nil, fmt.Errorf("the path is longer than %d bytes or %d steps", maxPath, maxSteps)
	}
	for _, step := range all {
		if step[0] != '[' {
			members, _ := v.(map[string]any)
			next, ok := members[step]
			if !ok {
				return nil, fmt.Errorf("there is no %s", step)
			}
			v = next
			continue
		}
		list, _ := v.([]any)
		i, err := strconv.Atoi(step[1 : len(step)-1])
		if err != nil || i >= len(list) {
			return nil, fmt.Errorf("there is no item %s", step)
		}
		v = list[i]
	}
	return v, nil
}

// leads reports whether a path is one.
func leads(path string) bool {
	n := len(steps.FindAllString(path, -1))
	return n > 0 && n <= maxSteps && len(path) <= maxPath
}
