// Package harness lets what tests use run outside of go test: servers, and the
// mesh itself. What would fail a test ends the run, and what a test would clean
// up is cleaned up.
package harness

import (
	"errors"
	"fmt"
	"os"

	"github.com/driftmesh/driftmesh/test/server"
)

var (
	// ErrFailed is returned by Run when something failed, which was printed.
	ErrFailed = errors.New("see above")
	// ErrSkipped is returned by Run, with the reason, when something it needs is
	// not on this machine.
	ErrSkipped = errors.New("skipped")
)

// Bench stands in for testing.TB. Like that, it is for one goroutine where it
// ends the run.
type Bench struct {
	cleanups []func()
	failed   bool
	skipped  string
}

var _ server.T = (*Bench)(nil)

// New returns a bench for one Run.
func New() *Bench { return &Bench{} }

// Run calls f and then the cleanups, the last first.
func (b *Bench) Run(f func() error) (err error) {
	defer func() {
		r := recover()
		switch {
		case r == any(ErrSkipped):
			err = fmt.Errorf("%w: %s", ErrSkipped, b.skipped)
		case r != nil && r != any(ErrFailed):
			fmt.Fprintln(os.Stderr, r)
			fallthrough
		case r != nil || b.failed:
			b.failed, err = true, ErrFailed
		}
		for i := len(b.cleanups) - 1; i >= 0; i-- {
			b.cleanups[i]()
		}
	}()
	if err := f(); err != nil {
		b.failed = true
		fmt.Fprintln(os.Stderr, err)
	}
	return nil
}

// Helper does nothing.
func (b *Bench) Helper() {}

// Errorf prints an error and goes on.
func (b *Bench) Errorf(format string, args ...any) {
	b.failed = true
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// FailNow ends the run.
func (b *Bench) FailNow() {
	b.failed = true
	panic(ErrFailed) //nolint:forbidigo // unwinds to Run, as t.FailNow unwinds a test
}

// Fatalf prints an error and ends the run.
func (b *Bench) Fatalf(format string, args ...any) {
	b.Errorf(format, args...)
	b.FailNow()
}

// Skipf ends the run with ErrSkipped.
func (b *Bench) Skipf(format string, args ...any) {
	b.skipped = fmt.Sprintf(format, args...)
	panic(ErrSkipped) //nolint:forbidigo // unwinds to Run, as t.Skip unwinds a test
}

// Failed reports whether something failed.
func (b *Bench) Failed() bool { return b.failed }

// Logf prints a line.
func (b *Bench) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Cleanup calls f at the end of Run.
func (b *Bench) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }

// TempDir makes a directory that is removed at the end of Run.
func (b *Bench) TempDir() string {
	dir, err := os.MkdirTemp("", "driftmesh-bench-")
	if err != nil {
		b.Fatalf("make directory: %v", err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
