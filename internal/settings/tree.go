package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Tree is a setting that is more than one value: in the file it is written as
// any YAML is, as a flag and as a variable it is the same YAML as one text, and
// file:PATH reads it from a file. Fields of T have yaml tags; a key that T does
// not have is an error, and so is a Secret or Size within that cannot be read.
type Tree[T any] struct {
	Value T
}

// tree tells a Tree from other settings.
type tree interface{ isTree() }

func (Tree[T]) isTree() {}

// UnmarshalText reads YAML, or the file it names.
func (t *Tree[T]) UnmarshalText(text []byte) error {
	if path, ok := strings.CutPrefix(string(text), filePrefix); ok && !strings.Contains(path, "\n") {
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read setting: %w", err)
		}
		text = raw
	}
	var value T
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&value); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	t.Value = value
	return nil
}
