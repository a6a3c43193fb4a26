package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/driftmesh/driftmesh/bench/harness"
)

// processes are the programs of the mesh by name. Linux only: /proc says what
// each has used.
type processes map[string]int

// cpu is the CPU seconds, user and system, that each process has used.
func (p processes) cpu() map[string]float64 {
	used := map[string]float64{}
	for name, pid := range p {
		used[name] = harness.CPU(pid)
	}
	return used
}

// peaks is the largest resident size of each process in MiB.
func (p processes) peaks() map[string]float64 {
	peak := map[string]float64{}
	for name, pid := range p {
		peak[name] = harness.PeakMiB(pid)
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
