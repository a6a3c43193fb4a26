package settings

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"strings"
)

// Secret is a text that never shows: it prints, logs and marshals as "***". A
// value of the form file:PATH is read from that file, so that the secret itself
// stands on no command line and in no environment; env:NAME is for what runs this
// and gives secrets in variables.
type Secret string

const filePrefix, envPrefix = "file:", "env:"

// UnmarshalText takes the secret, or reads the file or the variable it names.
func (s *Secret) UnmarshalText(text []byte) error {
	value := string(text)
	if name, ok := strings.CutPrefix(value, envPrefix); ok {
		if value, ok = os.LookupEnv(name); !ok {
			return fmt.Errorf("read secret: there is no variable %s", name)
		}
		*s = Secret(value)
		return nil
	}
	if path, ok := strings.CutPrefix(value, filePrefix); ok {
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read secret: %w", err)
		}
		value = strings.TrimRight(string(raw), "\r\n")
	}
	*s = Secret(value)
	return nil
}

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the secret from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Size is a number of bytes, written with a unit: 64MiB, 1GiB, 500KB, 4096B.
type Size int64

var units = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// UnmarshalText reads a size. A bare number is refused, except 0.
func (s *Size) UnmarshalText(text []byte) error {
	value := strings.TrimSpace(string(text))
	if value == "0" {
		*s = 0
		return nil
	}
	for _, u := range units {
		digits, ok := strings.CutSuffix(value, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || math.IsNaN(n) || n < 0 || n*u.factor > math.MaxInt64/2 {
			return fmt.Errorf("size %q: not a positive number before the unit", value)
		}
		*s = Size(n * u.factor)
		return nil
	}
	return fmt.Errorf("size %q: a unit is needed (B, KiB, MiB, GiB, KB, MB, GB)", value)
}

// String writes the size with the largest binary unit that divides it.
func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if f := int64(units[i].factor); s != 0 && int64(s)%f == 0 {
			return strconv.FormatInt(int64(s)/f, 10) + units[i].suffix
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalText writes the size as String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
