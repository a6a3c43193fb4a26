package embedded

import (
	"log/slog"
	"os/exec"
	"runtime"
	"time"
)

// Config says how to run the engine.
type Config struct {
	// Library is the path of libchdb (see Locate). Required.
	Library string
	// Path is the directory of the engine's data; it is created if absent. One
	// engine at a time may use it. Required.
	Path string
	// Limits bound what the engine may use; zero fields mean the defaults.
	Limits Limits
	// Log receives what the supervisor and the child have to say. Required.
	Log *slog.Logger
	// Command makes the child's command, by default this executable with the
	// one argument "engine". It must end up in Child with stdin, stdout and
	// file 3 as given. Tests re-execute themselves with it.
	Command func() *exec.Cmd
}

// Limits bound the engine. The defaults suit a machine with two cores where the
// engine is not alone.
type Limits struct {
	// Memory is the most the engine may allocate, in bytes; a query which
	// would exceed it fails with MEMORY_LIMIT_EXCEEDED. Default 1 GiB.
	Memory int64
	// QueryMemory is the most one statement may allocate. Default Memory/2.
	QueryMemory int64
	// Threads is the most threads one statement may use. Default 2.
	Threads int
	// Reads and Inserts are how many statements of each kind run at once;
	// others wait. Defaults 6 and 3.
	Reads, Inserts int
	// Queue is how many statements of each kind may wait; one more is refused
	// with TOO_MANY_SIMULTANEOUS_QUERIES. Default 256.
	Queue int
	// Cache is the size of the mark cache and of the primary index cache
	// together, in bytes. Default 64 MiB.
	Cache int64
	// MergeThreads is how many threads merge parts in the background. Default:
	// half of the CPUs, at least 1 and at most 4.
	MergeThreads int
}

func (l Limits) withDefaults() Limits {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	set64 := func(p *int64, v int64) {
		if *p <= 0 {
			*p = v
		}
	}
	set64(&l.Memory, 1<<30)
	set64(&l.QueryMemory, l.Memory/2)
	set64(&l.Cache, 64<<20)
	set(&l.Threads, 2)
	set(&l.Reads, 6)
	set(&l.Inserts, 3)
	set(&l.Queue, 256)
	set(&l.MergeThreads, min(max(runtime.NumCPU()/2, 1), 4))
	return l
}

// The supervisor's clock.
const (
	minBackoff = 200 * time.Millisecond
	maxBackoff = 10 * time.Second
	// healthyAfter is how long a child must live for its death to count as the
	// first again.
	healthyAfter = 30 * time.Second
	// stopGrace is how long the child may take to end by itself.
	stopGrace = 10 * time.Second
)
