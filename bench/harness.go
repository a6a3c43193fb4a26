package main

import (
	"errors"
	"fmt"
	"os"
)

// harness lets the test mesh run outside of go test: what would fail a test
// ends the benchmark, and what a test would clean up is cleaned up.
type harness struct {
	cleanups []func()
	failed   bool
}

func newHarness() *harness { return &harness{} }

var errFailed = errors.New("see above")

// run calls f and then the cleanups, the last first.
func (b *harness) run(f func() error) (err error) {
	defer func() {
		r := recover()
		if r != nil && r != any(errFailed) {
			fmt.Fprintln(os.Stderr, r)
		}
		if r != nil || b.failed {
			b.failed, err = true, errFailed
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

func (b *harness) Helper() {}

func (b *harness) Errorf(format string, args ...any) {
	b.failed = true
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (b *harness) FailNow() {
	b.failed = true
	panic(errFailed) //nolint:forbidigo // unwinds to run, as t.FailNow unwinds a test
}

func (b *harness) Fatalf(format string, args ...any) {
	b.Errorf(format, args...)
	b.FailNow()
}

func (b *harness) Skipf(format string, args ...any) { b.Fatalf(format, args...) }

func (b *harness) Failed() bool { return b.failed }

func (b *harness) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (b *harness) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }

func (b *harness) TempDir() string {
	dir, err := os.MkdirTemp("", "driftmesh-bench-")
	if err != nil {
		b.Fatalf("make directory: %v", err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
