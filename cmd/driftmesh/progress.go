package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
)

// progressLine shows how far the fetch of the engine library is: one line that
// renews itself on a terminal, a line now and then elsewhere.
type progressLine struct {
	mu       sync.Mutex
	to       io.Writer
	terminal bool
	shown    time.Time
	stage    string
	used     bool
}

func newProgressLine(to io.Writer) *progressLine {
	p := &progressLine{to: raw(to)}
	if f, ok := p.to.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *progressLine) update(now embedded.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := 5 * time.Second
	if p.terminal {
		every = 100 * time.Millisecond
	}
	if now.Stage == p.stage && time.Since(p.shown) < every {
		return
	}
	p.shown, p.stage, p.used = time.Now(), now.Stage, true
	line := map[string]string{
		"download": "fetching the ClickHouse engine, once",
		"unpack":   "unpacking the ClickHouse engine",
		"wait":     "another process is fetching the ClickHouse engine; waiting",
	}[now.Stage]
	if now.Total > 0 {
		line += fmt.Sprintf(": %d of %d MB", now.Done/1e6, now.Total/1e6)
	}
	if p.terminal {
		fmt.Fprintf(p.to, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.to, line)
}

func (p *progressLine) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used && p.terminal {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
