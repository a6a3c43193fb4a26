package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/driftmesh/driftmesh/internal/fault"

	"github.com/driftmesh/driftmesh/internal/settings"
)

// lockDir takes the data directory for this process. The kernel gives it back
// when the process ends, however it ends.
func lockDir(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fault.Precondition.New("another driftmesh uses the data directory %s: stop it, or give another with --data-dir", dir)
		}
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// ensureSecret makes the mesh secret at path the first time.
func ensureSecret(path string) error {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return writeSecrets(path, []settings.Secret{newSecret()})
	}
	if err != nil {
		return fmt.Errorf("read mesh secret: %w", err)
	}
	return nil
}

// newSecret has 256 random bits.
func newSecret() settings.Secret {
	var bytes [32]byte
	_, _ = rand.Read(bytes[:]) // never fails
	return settings.Secret(hex.EncodeToString(bytes[:]))
}

// writeSecrets writes them whole or not at all: half a secret would lock the state
// out.
func writeSecrets(path string, secrets []settings.Secret) error {
	var lines strings.Builder
	for _, s := range secrets {
		lines.WriteString(s.Reveal() + "\n")
	}
	partial := path + ".new"
	if err := os.WriteFile(partial, []byte(lines.String()), 0o600); err != nil {
		return fmt.Errorf("keep mesh secret: %w", err)
	}
	if err := os.Rename(partial, path); err != nil {
		return fmt.Errorf("keep mesh secret: %w", err)
	}
	return nil
}
