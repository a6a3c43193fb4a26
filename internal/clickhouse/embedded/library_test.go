package embedded_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
	"github.com/driftmesh/driftmesh/internal/fault"
)

// npm is a command that stands in for npm: a shell script that runs body in
// the directory npm would work in.
func npm(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "npm")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\necho call >> "+path+".calls\n"+body+"\n"), 0o700))
	return path
}

// parcel is a package tarball whose library is size bytes of nothing, and its
// checksum.
func parcel(t *testing.T, name string, size int64) (path, integrity string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "parcel.tgz")
	file, err := os.Create(path)
	require.NoError(t, err)
	hash := sha512.New()
	z := gzip.NewWriter(writers{file, hash})
	archive := tar.NewWriter(z)
	require.NoError(t, archive.WriteHeader(&tar.Header{Name: "package/package.json", Size: 2, Mode: 0o644}))
	_, err = archive.Write([]byte("{}"))
	require.NoError(t, err)
	require.NoError(t, archive.WriteHeader(&tar.Header{Name: "package/" + name, Size: size, Mode: 0o755}))
	zeros := make([]byte, 1<<20)
	for left := size; left > 0; left -= int64(len(zeros)) {
		_, err = archive.Write(zeros[:min(left, int64(len(zeros)))])
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	require.NoError(t, z.Close())
	require.NoError(t, file.Close())
	return path, "sha512-" + base64.StdEncoding.EncodeToString(hash.Sum(nil))
}

type writers []interface{ Write([]byte) (int, error) }

func (w writers) Write(p []byte) (int, error) {
	for _, one := range w {
		if n, err := one.Write(p); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// deliver is the script of an npm that delivers the parcel.
func deliver(path, integrity string) string {
	answer := fmt.Sprintf(`[{"filename":"x","integrity":"%s"}]`, integrity)
	return "pkg=\"$(echo \"$*\" | tr ' ' '\\n' | grep '@chdb')\"; f=$(echo \"$pkg\" | sed 's|^@||; s|/|-|; s|@|-|').tgz; cp " + path + " \"$f\"; echo '" + answer + "'"
}

func TestFetchOnceForAll(t *testing.T) {
	t.Parallel()
	path, sum := parcel(t, "libchdb.so", 17<<20)
	src := embedded.Source{Cache: t.TempDir(), NPM: npm(t, deliver(path, sum)), Integrity: sum}
	_, err := embedded.Locate(src)
	require.ErrorIs(t, err, fault.NotFound)

	var wait sync.WaitGroup
	var mu sync.Mutex
	stages := map[string]embedded.Progress{}
	for range 4 {
		wait.Go(func() {
			src := src
			src.Progress = func(p embedded.Progress) {
				mu.Lock()
				defer mu.Unlock()
				stages[p.Stage] = p
			}
			got, err := embedded.Fetch(t.Context(), src)
			if err != nil {
				t.Error(err)
				return
			}
			if info, err := os.Stat(got); err != nil || info.Size() != 17<<20 {
				t.Error(info, err)
			}
		})
	}
	wait.Wait()
	calls, err := os.ReadFile(src.NPM + ".calls")
	require.NoError(t, err)
	require.Equal(t, "call\n", string(calls), "one fetches, the others wait")
	require.Equal(t, embedded.Progress{Stage: "unpack", Done: 17 << 20, Total: 17 << 20}, stages["unpack"])
	require.EqualValues(t, 178_000_000, stages["download"].Total)

	want := filepath.Join(src.Cache, embedded.Version, "libchdb.so")
	found, err := embedded.Locate(src)
	require.NoError(t, err)
	require.Equal(t, want, found)
	left, err := os.ReadDir(filepath.Dir(want))
	require.NoError(t, err)
	require.Len(t, left, 2, "nothing is left but the library and the lock")
}

// Whoever fetches alone is not told of another process.
func TestFetchAloneWaitsForNobody(t *testing.T) {
	t.Parallel()
	path, sum := parcel(t, "libchdb.so", 17<<20)
	src := embedded.Source{Cache: t.TempDir(), NPM: npm(t, deliver(path, sum)), Integrity: sum}
	src.Progress = func(p embedded.Progress) {
		if p.Stage == "wait" {
			t.Error("there is nobody to wait for")
		}
	}
	_, err := embedded.Fetch(t.Context(), src)
	require.NoError(t, err)
}

func TestFetchErrorsNameTheWaysOut(t *testing.T) {
	t.Parallel()
	good, sum := parcel(t, "libchdb.so", 17<<20)
	small, smallSum := parcel(t, "libchdb.so", 10)
	other, otherSum := parcel(t, "something.so", 10)
	for name, row := range map[string]struct{ npm, pinned, want string }{
		"no npm":     {"", "", "npm, which does it, is not installed"},
		"no network": {"echo 'npm error code ENOTFOUND' >&2; echo 'npm error network request failed' >&2; exit 1", "", "code ENOTFOUND; network request failed"},
		"no package": {"echo '[]'", "", "understand npm's answer"},
		"no tarball": {"echo '[{\"integrity\":\"sha512-x\"}]'", "", "open package"},
		"checksum":   {deliver(good, sum), strings.Replace(sum, "sha512-", "sha512-0", 1), "checksum"},
		// Whatever the registry says of another package, it is not the one that we know.
		"not ours":   {deliver(good, sum), "", "checksum"},
		"too small":  {deliver(small, smallSum), smallSum, "has 10 bytes"},
		"no library": {deliver(other, otherSum), otherSum, "no libchdb.so in the package"},
		"not packed": {"echo text > chdb-lib-linux-x64-gnu-" + embedded.Version + ".tgz; echo text > chdb-lib-linux-arm64-gnu-" + embedded.Version + ".tgz; echo '[{\"integrity\":\"" + sum + "\"}]'", "", "read package"},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS != "linux" && name == "not packed" {
				t.Skip("names the packages of linux")
			}
			if runtime.GOOS+runtime.GOARCH != "linuxamd64" && name == "not ours" {
				t.Skip("its checksum is not known here")
			}
			src := embedded.Source{Cache: t.TempDir(), Integrity: row.pinned, NPM: filepath.Join(t.TempDir(), "none")}
			if row.npm != "" {
				src.NPM = npm(t, row.npm)
			}
			_, err := embedded.Fetch(t.Context(), src)
			require.ErrorIs(t, err, fault.Unavailable)
			require.ErrorContains(t, err, row.want)
			message := fault.Of(err).Message()
			require.Contains(t, message, "setting engine.library")
			require.Contains(t, message, "setting clickhouse.url")
			_, err = embedded.Locate(src)
			require.ErrorIs(t, err, fault.NotFound, "nothing half-done is left")
		})
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	src := embedded.Source{Cache: t.TempDir(), NPM: npm(t, "exec sleep 60")}
	src.Progress = func(p embedded.Progress) {
		if p.Stage == "download" {
			cancel()
		}
	}
	_, err := embedded.Fetch(ctx, src)
	require.ErrorIs(t, err, fault.Unavailable)
}

func TestOnesOwnLibrary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "mine.so")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	got, err := embedded.Fetch(t.Context(), embedded.Source{Library: file})
	require.NoError(t, err)
	require.Equal(t, file, got)
	for _, path := range []string{dir, filepath.Join(dir, "nowhere")} {
		_, err = embedded.Fetch(t.Context(), embedded.Source{Library: path, NPM: npm(t, "exit 1")})
		require.ErrorIs(t, err, fault.Precondition)
		require.ErrorContains(t, err, "engine.library")
	}
}
