package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processes are the programs of the mesh by name. Linux only: /proc says what
// each has used.
type processes map[string]int

// ticksPerSecond of /proc/PID/stat; fixed in the kernel's interface.
const ticksPerSecond = 100

// cpu is the CPU seconds, user and system, that each process has used.
func (p processes) cpu() map[string]float64 {
	used := map[string]float64{}
	for name, pid := range p {
		used[name] = cpuOf(pid)
	}
	return used
}

func cpuOf(pid int) float64 {
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

// peaks is the largest resident size of each process in MiB.
func (p processes) peaks() map[string]float64 {
	peak := map[string]float64{}
	for name, pid := range p {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				peak[name] = kib / 1024
			}
		}
	}
	return peak
}

// costs is CPU seconds per million spans.
func costs(now, before map[string]float64, spans int) map[string]float64 {
	per := map[string]float64{}
	for name := range now {
		per[name] = (now[name] - before[name]) / float64(spans) * 1e6
	}
	return per
}

// idle waits until the process has used next to no CPU for two seconds: its
// merges belong to the load that caused them. It gives up after a minute.
func idle(pid int) {
	last, quiet := cpuOf(pid), 0
	for range 60 {
		time.Sleep(time.Second)
		now := cpuOf(pid)
		if now-last > 0.1 {
			quiet = 0
		} else if quiet++; quiet == 2 {
			return
		}
		last = now
	}
}

// pause stops a process where it stands, and resume lets it go on.
func pause(pid int) (resume func(), err error) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil, err
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return nil, fmt.Errorf("pause: %w", err)
	}
	return func() { _ = p.Signal(syscall.SIGCONT) }, nil
}
