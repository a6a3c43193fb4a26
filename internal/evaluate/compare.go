package evaluate

import (
	"fmt"
	"strings"
)

// comparison is a value, and what it is held against.
type comparison struct {
	at         any
	path, item string // empty for all of it
	operator   string
	expected   any
}

// verdict is what a comparison comes to.
type verdict struct {
	passed  bool
	actual  any
	message string
}

// compare compares. An error says that the value cannot be compared.
func (c comparison) compare() (verdict, error) {
	if items, ok := c.at.([]any); ok && c.path != "" {
		return c.each(items, c.path)
	}
	actual := c.at
	if c.path != "" {
		var err error
		if actual, err = at(c.at, c.path); err != nil {
			return verdict{}, err
		}
	}
	op := operators[c.operator]
	if items, ok := actual.([]any); ok && !op.lists {
		return c.each(items, c.item)
	}
	expected, err := c.meant()
	if err != nil {
		return verdict{}, err
	}
	subject, err := op.subject(actual)
	if err != nil {
		return verdict{actual: actual, message: err.Error()}, nil //nolint:nilerr // it is what there is to say of a check that failed
	}
	passed, err := op.holds(subject, expected)
	if err != nil {
		return verdict{actual: subject}, err
	}
	v := verdict{passed: passed, actual: subject}
	if !passed {
		v.message = fmt.Sprintf("%s is not %s", text(subject), phrase(c.operator, expected))
	}
	return v, nil
}

// meant is what is expected: ${path} stands for what is there.
func (c comparison) meant() (any, error) {
	if name, is := c.expected.(string); is && strings.HasPrefix(name, "${") && strings.HasSuffix(name, "}") {
		return at(c.at, name[2:len(name)-1])
	}
	return c.expected, nil
}

// each compares every item of a list, of which all must pass.
func (c comparison) each(items []any, path string) (verdict, error) {
	op, expected := operators[c.operator], c.expected
	if op.once != nil {
		expected = op.once(expected)
	}
	for i, item := range items {
		if path != "" {
			found, err := at(item, path)
			if err != nil {
				return verdict{actual: items, message: fmt.Sprintf("item %d: %v", i, err)}, nil
			}
			item = found
		}
		subject, err := op.subject(item)
		if err != nil {
			return verdict{actual: items, message: fmt.Sprintf("item %d: %v", i, err)}, nil
		}
		passed, err := op.holds(subject, expected)
		if err != nil {
			return verdict{actual: items}, fmt.Errorf("item %d: %w", i, err)
		}
		if !passed {
			return verdict{actual: subject, message: fmt.Sprintf("item %d, %s, is not %s", i, text(subject), phrase(c.operator, c.expected))}, nil
		}
	}
	return verdict{passed: true, actual: items}, nil
}

// phrase is an operator with what it compares with.
func phrase(operator string, expected any) string {
	words := strings.ReplaceAll(operator, "_", " ")
	if expected == nil || operators[operator].alone {
		return words
	}
	return words + " " + text(expected)
}
