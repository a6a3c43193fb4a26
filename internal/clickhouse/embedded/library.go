package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Version is the release of the engine library that we use and test with.
const Version = "26.7.3-stable.1"

// libraryFile is the name of the library in the package and in the cache, on
// all systems.
const libraryFile = "libchdb.so"

// Source says where the engine library is or comes from.
type Source struct {
	// Library is the path of one's own copy (setting engine.library). When it
	// is set nothing else is looked at.
	Library string
	// Cache is the directory of fetched libraries, by default
	// driftmesh/chdb in the user's cache directory.
	Cache string
	// Integrity is the checksum that the package must have, as npm writes it; by
	// default the one of the release that we tested with.
	Integrity string
	// NPM is the npm command, by default "npm" from PATH.
	NPM string
	// Progress, when set, is called while the library is fetched, from one
	// goroutine at a time.
	Progress func(Progress)
}

// Progress is how far a fetch has come.
type Progress struct {
	// Stage is "download", "unpack" or "wait" (another process fetches).
	Stage string
	// Done and Total are bytes of the stage; Total is an estimate for a
	// download.
	Done, Total int64
}

// waysOut is what a user can do without the library.
const waysOut = "give the path of your own copy of libchdb (setting engine.library), or the URL of a running ClickHouse (setting clickhouse.url)"

// Locate returns the path of the library if it is there already. It fails with
// fault.NotFound when it would have to be fetched, and with another fault when
// that could not help.
func Locate(src Source) (string, error) {
	if src.Library != "" {
		info, err := os.Stat(src.Library)
		switch {
		case err != nil:
			return "", fault.Precondition.Wrap(err, "the engine library %s (setting engine.library) cannot be read", src.Library)
		case !info.Mode().IsRegular():
			return "", fault.Precondition.New("the engine library %s (setting engine.library) is not a file", src.Library)
		}
		return src.Library, nil
	}
	path, err := src.cachedPath()
	if err != nil {
		return "", err
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.Mode().IsRegular():
		return path, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", fault.Precondition.Wrap(err, "the cache of the engine library cannot be read; %s", waysOut)
	}
	return "", fault.NotFound.New("the engine library is not in the cache (%s)", path)
}

// cachedPath is where the cache keeps the library.
func (s Source) cachedPath() (string, error) {
	dir := s.Cache
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fault.Precondition.Wrap(err, "no cache directory for the engine library; %s", waysOut)
		}
		dir = filepath.Join(base, "driftmesh", "chdb")
	}
	return filepath.Join(dir, Version, libraryFile), nil
}

// packages are the npm packages that hold the library, by GOOS/GOARCH.
var packages = map[string]npmPackage{
	"linux/amd64": {
		"@chdb/lib-linux-x64-gnu",
		"sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
	},
	"linux/arm64":  {name: "@chdb/lib-linux-arm64-gnu"},
	"darwin/amd64": {name: "@chdb/lib-darwin-x64"},
	"darwin/arm64": {name: "@chdb/lib-darwin-arm64"},
}

// npmPackage is a package and the checksum that release Version of it must have, as
// npm writes it; "" where we have not seen it, and then what the registry says holds.
type npmPackage struct{ name, integrity string }

// packageOf is the npm package for this system.
func packageOf() (npmPackage, error) {
	system := runtime.GOOS + "/" + runtime.GOARCH
	pkg, ok := packages[system]
	if !ok {
		return npmPackage{}, fault.Unsupported.New("there is no engine library for %s; give the URL of a running ClickHouse (setting clickhouse.url)", system)
	}
	return pkg, nil
}

// tarballName is what npm pack calls the package's file.
func tarballName(pkg string) string {
	return fmt.Sprintf("%s-%s.tgz", strings.ReplaceAll(strings.TrimPrefix(pkg, "@"), "/", "-"), Version)
}
