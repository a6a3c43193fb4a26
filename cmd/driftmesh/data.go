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

// ownSecret reads the mesh secret kept at path, and makes one the first time.
func ownSecret(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(raw)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read mesh secret: %w", err)
	}
	var bytes [32]byte
	if _, err := rand.Read(bytes[:]); err != nil {
		return "", fmt.Errorf("make mesh secret: %w", err)
	}
	secret := hex.EncodeToString(bytes[:])
	// Written whole or not at all: half a secret would lock the state out.
	partial := path + ".new"
	if err := os.WriteFile(partial, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep mesh secret: %w", err)
	}
	if err := os.Rename(partial, path); err != nil {
		return "", fmt.Errorf("keep mesh secret: %w", err)
	}
	return secret, nil
}
