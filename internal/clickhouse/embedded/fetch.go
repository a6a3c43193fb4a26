package embedded

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const (
	// packedSize is about how many bytes the package has, for progress.
	packedSize = 178_000_000
	// maxLibrary bounds what is unpacked.
	maxLibrary = 2 << 30
	// minLibrary is much less than any library of this engine has.
	minLibrary = 16 << 20
	// progressEvery is the time between two progress calls.
	progressEvery = 250 * time.Millisecond
)

// Fetch returns the path of the library and brings it into the cache first if
// it is not there: `npm pack` downloads the package, its checksum must be the one that is pinned here,
// and the library is unpacked beside its place and renamed into it, so that a
// reader never sees half a file. Of several processes that fetch at the same
// time one works and the others wait.
//
// Without npm or network it fails at once with fault.Unavailable; the message
// names the ways out.
func Fetch(ctx context.Context, src Source) (string, error) {
	path, err := Locate(src)
	if err == nil || !errors.Is(err, fault.NotFound) {
		return path, err
	}
	pkg, err := packageOf()
	if err != nil {
		return "", err
	}
	npm, err := exec.LookPath(cmp.Or(src.NPM, "npm"))
	if err != nil {
		return "", fault.Unavailable.Wrap(err, "the engine library has to be fetched once, and npm, which does it, is not installed; install npm, or %s", waysOut)
	}
	if path, err = src.cachedPath(); err != nil {
		return "", err
	}
	dir := filepath.Dir(path)
	report := src.reporter()
	unlock, err := lockFetch(ctx, dir, func() { report(Progress{Stage: "wait"}) })
	if err != nil {
		return "", fault.Unavailable.Wrap(err, "the cache directory %s cannot be used; %s", dir, waysOut)
	}
	defer unlock()
	if found, err := Locate(src); err == nil {
		return found, nil // another process has been faster
	}
	if err := fetchInto(ctx, path, npm, pkg.name, cmp.Or(src.Integrity, pkg.integrity), report); err != nil {
		return "", err
	}
	return path, nil
}

func (s Source) reporter() func(Progress) {
	if s.Progress == nil {
		return func(Progress) {}
	}
	return s.Progress
}

// fetchInto brings the package to path. Its checksum must be the one that is pinned, or
// without one what the registry says.
func fetchInto(ctx context.Context, path, npm, pkg, pinned string, report func(Progress)) error {
	work, err := os.MkdirTemp(filepath.Dir(path), "fetch-")
	if err != nil {
		return fault.Unavailable.Wrap(err, "the cache directory cannot be written; %s", waysOut)
	}
	defer os.RemoveAll(work) //nolint:errcheck // what stays is in nobody's way
	tarball, integrity, err := pack(ctx, npm, pkg, work, report)
	if err != nil {
		return fault.Unavailable.Wrap(err, "the engine library could not be fetched (npm pack %s@%s); %s", pkg, Version, waysOut)
	}
	file := filepath.Join(work, libraryFile)
	if err := unpack(ctx, tarball, cmp.Or(pinned, integrity), file, report); err != nil {
		return fault.Unavailable.Wrap(err, "the fetched engine library could not be unpacked; %s", waysOut)
	}
	if err := os.Rename(file, path); err != nil {
		return fault.Unavailable.Wrap(err, "the fetched engine library could not be put into the cache; %s", waysOut)
	}
	return nil
}

// pack runs npm pack in dir and returns the tarball and its checksum as npm
// gives it ("sha512-…").
func pack(ctx context.Context, npm, pkg, dir string, report func(Progress)) (tarball, integrity string, err error) {
	cmd := exec.CommandContext(ctx, npm, "pack", "--json", "--loglevel=error", "--fetch-retries=1",
		"--cache", filepath.Join(dir, "cache"), pkg+"@"+Version)
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second // npm's own children may hold its output open
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	stop := watch(dir, report)
	err = cmd.Run()
	stop()
	if err != nil {
		return "", "", fmt.Errorf("%w: %s", err, brief(complaints.String()))
	}
	var packed []struct{ Filename, Integrity string }
	if err := json.Unmarshal(out.Bytes(), &packed); err != nil || len(packed) != 1 {
		return "", "", fmt.Errorf("understand npm's answer: %q", brief(out.String()))
	}
	return filepath.Join(dir, tarballName(pkg)), packed[0].Integrity, nil
}

// brief is the part of npm's complaint that a user can use.
func brief(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "npm error"))
		if line != "" && !strings.Contains(line, "complete log of this run") && len(lines) < 4 {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// watch reports the growth of what npm writes below dir until stop is called.
func watch(dir string, report func(Progress)) (stop func()) {
	quit := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			report(Progress{Stage: "download", Done: min(largest(dir), packedSize), Total: packedSize})
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	})
	return func() { close(quit); wait.Wait() }
}

// largest is the size of the largest file below dir: npm writes the tarball to
// its cache and then to its place.
func largest(dir string) int64 {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // files come and go while npm works
		}
		if info, err := entry.Info(); err == nil {
			size = max(size, info.Size())
		}
		return nil
	})
	return size
}

// unpack writes the library out of the tarball to file, while it checks the
// tarball against its checksum.
func unpack(ctx context.Context, tarball, integrity, file string, report func(Progress)) error {
	in, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("open package: %w", err)
	}
	defer in.Close() //nolint:errcheck // it is only read
	hash := sha512.New()
	packed := io.TeeReader(in, hash)
	plain, err := gzip.NewReader(packed)
	if err != nil {
		return fmt.Errorf("read package: %w", err)
	}
	found := false
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read package: %w", err)
		}
		if filepath.Base(header.Name) != libraryFile || header.Typeflag != tar.TypeReg {
			continue
		}
		found = true
		if header.Size < minLibrary || header.Size > maxLibrary {
			return fmt.Errorf("the library in the package has %d bytes", header.Size)
		}
		counted := &counting{stopped: ctx.Err, from: archive, report: report, progress: Progress{Stage: "unpack", Total: header.Size}}
		if err := writeFile(file, counted, header.Size); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("no %s in the package", libraryFile)
	}
	if _, err := io.Copy(io.Discard, packed); err != nil {
		return fmt.Errorf("read package: %w", err)
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(hash.Sum(nil)); integrity != got {
		return fmt.Errorf("the package's checksum is %s, not %s", got, integrity)
	}
	return nil
}

func writeFile(path string, from io.Reader, size int64) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("create library: %w", err)
	}
	if n, err := io.Copy(out, from); err != nil || n != size {
		return errors.Join(fmt.Errorf("write library (%d of %d bytes): %w", n, size, err), out.Close())
	}
	if err := out.Sync(); err != nil {
		return errors.Join(fmt.Errorf("write library: %w", err), out.Close())
	}
	return out.Close()
}

// counting reports what is read through it.
type counting struct {
	stopped  func() error
	from     io.Reader
	report   func(Progress)
	progress Progress
	last     time.Time
}

func (c *counting) Read(p []byte) (int, error) {
	if err := c.stopped(); err != nil {
		return 0, err
	}
	n, err := c.from.Read(p)
	c.progress.Done += int64(n)
	if now := time.Now(); now.Sub(c.last) > progressEvery || err != nil {
		c.last = now
		c.report(c.progress)
	}
	return n, err
}
