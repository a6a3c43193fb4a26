package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// Secrets are several secrets that are good at a time, the one in use first: a
// text is one; file:PATH names a file with one on each line, which may change while
// the program runs. It never shows.
type Secrets struct {
	list []Secret
	path string
}

// SecretsOf is a fixed list.
func SecretsOf(list ...Secret) Secrets { return Secrets{list: list} }

// UnmarshalText takes the secret, or reads the file it names.
func (s *Secrets) UnmarshalText(text []byte) error {
	path, ok := strings.CutPrefix(string(text), filePrefix)
	if !ok {
		*s = Secrets{}
		if len(text) > 0 {
			s.list = []Secret{Secret(text)}
		}
		return nil
	}
	list, err := ReadSecrets(path)
	if err != nil {
		return err
	}
	*s = Secrets{list: list, path: path}
	return nil
}

// ReadSecrets reads a file with a secret on each line; empty lines and those that
// begin with # say nothing.
func ReadSecrets(path string) ([]Secret, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	var list []Secret
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			list = append(list, Secret(line))
		}
	}
	if len(list) == 0 {
		return nil, errors.New("read secrets: " + path + " has none")
	}
	return list, nil
}

// List are the secrets, as they were when the settings were read.
func (s Secrets) List() []Secret { return s.list }

// First is the one in use, "" when there is none.
func (s Secrets) First() Secret {
	if len(s.list) == 0 {
		return ""
	}
	return s.list[0]
}

// Path is the file they were read from, "" for none.
func (s Secrets) Path() string { return s.path }

// String hides the secrets.
func (s Secrets) String() string { return s.First().String() }

// GoString hides the secrets from %#v.
func (s Secrets) GoString() string { return s.String() }

// MarshalText hides the secrets from encoders.
func (s Secrets) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the secrets from logs.
func (s Secrets) LogValue() slog.Value { return slog.StringValue(s.String()) }
