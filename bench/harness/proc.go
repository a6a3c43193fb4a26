package harness

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond of /proc/PID/stat; fixed in the kernel's interface.
const ticksPerSecond = 100

// CPU is the CPU time, user and system, that a process has used, in seconds; 0
// when it cannot be read. Linux only, like the others here.
func CPU(pid int) float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold spaces; utime and stime are the 12th
	// and 13th field after it.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond
}

// PeakMiB is the largest resident size of a process so far.
func PeakMiB(pid int) float64 { return field(pid, "status", "VmHWM:") / 1024 }

// ResidentMiB is the resident size of a process.
func ResidentMiB(pid int) float64 { return field(pid, "status", "VmRSS:") / 1024 }

// WrittenMiB is what a process has caused to be written to storage.
func WrittenMiB(pid int) float64 { return field(pid, "io", "write_bytes:") / (1 << 20) }

// field is a number in a file of /proc/PID; 0 when it cannot be read.
func field(pid int, file, name string) float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return n
		}
	}
	return 0
}

// Idle waits until a process has used next to no CPU for two seconds: an engine's
// merges belong to the load that caused them. It is false when that does not come
// within a minute.
func Idle(pid int) bool {
	last, quiet := CPU(pid), 0
	for range 60 {
		time.Sleep(time.Second) // between two looks
		now := CPU(pid)
		if now-last > 0.1 {
			quiet = 0
		} else if quiet++; quiet == 2 {
			return true
		}
		last = now
	}
	return false
}
