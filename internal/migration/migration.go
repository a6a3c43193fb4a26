// Package migration is what bringing a schema up to date has in common,
// whatever the store: how its files are called and read, when one that has run
// may not be what it was, and how to wait for a store that is away.
package migration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/telemetry"
)

// File is one migration.
type File struct {
	Name     string // of the file, which is its identity
	Text     string
	Checksum string // of the text: SHA-256, hexadecimal
}

var names = regexp.MustCompile(`^[0-9]{3,4}_[a-z0-9_]+\.sql$`)

// Read gives the .sql files at the root of files in the order in which they
// run, which is that of their names: a number, then words.
func Read(files fs.FS) ([]File, error) {
	found, err := fs.Glob(files, "*.sql") // sorted by name
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	all := make([]File, 0, len(found))
	for _, name := range found {
		if !names.MatchString(name) {
			return nil, fault.Invalid.New("migration %q: want a name like 0001_words.sql", name)
		}
		if n := len(all); n > 0 && number(all[n-1].Name) == number(name) {
			return nil, fault.Invalid.New("migrations %q and %q have the same number", all[n-1].Name, name)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		sum := sha256.Sum256(text)
		all = append(all, File{Name: name, Text: string(text), Checksum: hex.EncodeToString(sum[:])})
	}
	return all, nil
}

func number(name string) string {
	n, _, _ := strings.Cut(name, "_")
	return strings.TrimLeft(n, "0")
}

// Ran reports whether the file has run, by the checksums of those that have,
// by name. It gives fault.Precondition when it has changed since.
func (f File) Ran(checksums map[string]string) (bool, error) {
	before, ran := checksums[f.Name]
	if ran && before != f.Checksum {
		return true, fault.Precondition.New("migration %s has changed since it ran; add a new one instead", f.Name).
			WithReason("MIGRATION_CHANGED")
	}
	return ran, nil
}

// How long WhenUp waits between attempts.
const (
	minWait = 100 * time.Millisecond
	maxWait = 5 * time.Second
)

// WhenUp calls migrate again and again, with back-off, while the store is
// away, and says so in the log. It returns when ctx ends or something is wrong
// that time does not mend.
func WhenUp(ctx context.Context, log *slog.Logger, store string, migrate func(context.Context) error) error {
	for wait := minWait; ; wait = min(2*wait, maxWait) {
		err := migrate(ctx)
		if err == nil || !fault.KindOf(err).Retryable() {
			return err
		}
		log.Warn(store+" is away", telemetry.Err(err), slog.Duration("retry_in", wait))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
