package process

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Check returns nil when something that a service needs is there.
type Check func(context.Context) error

// checkTimeout bounds all readiness checks together.
const checkTimeout = 3 * time.Second

// readiness is what a process waits for. It is safe for concurrent use.
type readiness struct {
	mu       sync.Mutex
	checks   map[string]Check
	stopping bool
}

// finding is what one check found.
type finding struct {
	name   string
	broken bool
	why    string // for operators only: it may name addresses
}

// String is a finding with its reason.
func (f finding) String() string {
	if f.why == "" {
		return f.bare()
	}
	return f.bare() + ": " + f.why
}

// bare is what anybody may know.
func (f finding) bare() string {
	if f.broken {
		return "[-] " + f.name
	}
	return "[+] " + f.name
}

func (r *readiness) add(name string, check Check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks[name] = check
}

func (r *readiness) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
}

// report runs all checks side by side.
func (r *readiness) report(ctx context.Context) (ready bool, findings []finding) {
	r.mu.Lock()
	checks, stopping := maps.Clone(r.checks), r.stopping
	r.mu.Unlock()
	if stopping {
		return false, []finding{{name: "stopping", broken: true}}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	names := slices.Sorted(maps.Keys(checks))
	findings = make([]finding, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			findings[i].name = name
			if err := checks[name](ctx); err != nil {
				findings[i].broken, findings[i].why = true, err.Error()
			}
		})
	}
	wg.Wait()
	ready = len(names) > 0 // or nobody has said yet what it waits for
	return ready && !slices.ContainsFunc(findings, func(f finding) bool { return f.broken }), findings
}
