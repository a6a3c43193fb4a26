package chdb

import (
	"fmt"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// sigactionSize is room for a struct sigaction of any libc we run on (glibc:
// 152 bytes, darwin: 16); the content is never looked into.
const sigactionSize = 256

// lastSignal is the highest of the classic signals. The real-time ones above
// belong to libc and the Go runtime, and the engine leaves them alone.
const lastSignal = 31

type sigactionFunc func(signal int32, act, old unsafe.Pointer) int32

// keepSignalHandlers runs fn and puts back every signal handler it changed.
//
// The first connection resets some of the process's handlers to their defaults
// even when told not to install any. Without the Go runtime's own, a nil
// dereference kills the process without a trace, preemption signals are lost,
// and SIGTERM no longer reaches signal.Notify. Two at the same time would save
// each other's disorder.
func keepSignalHandlers(fn func()) error {
	symbol, err := purego.Dlsym(purego.RTLD_DEFAULT, "sigaction")
	if err != nil {
		return fmt.Errorf("find sigaction: %w", err)
	}
	var sigaction sigactionFunc
	purego.RegisterFunc(&sigaction, symbol)

	var saved [lastSignal + 1][sigactionSize]byte
	var known [lastSignal + 1]bool
	for s := int32(1); s <= lastSignal; s++ {
		if changeable(s) {
			known[s] = sigaction(s, nil, unsafe.Pointer(&saved[s])) == 0
		}
	}
	fn()
	for s := int32(1); s <= lastSignal; s++ {
		if known[s] && sigaction(s, unsafe.Pointer(&saved[s]), nil) != 0 {
			return fmt.Errorf("restore the handler of signal %d", s)
		}
	}
	return nil
}

func changeable(signal int32) bool {
	return signal != int32(syscall.SIGKILL) && signal != int32(syscall.SIGSTOP)
}
