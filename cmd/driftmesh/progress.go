package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/table"
	"github.com/driftmesh/driftmesh/internal/clickhouse/embedded"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

// progressLine shows how far something long is: one line that renews itself on a
// terminal, a line now and then elsewhere.
type progressLine struct {
	mu       sync.Mutex
	to       io.Writer
	terminal bool
	shown    time.Time
	stage    string
	used     bool
}

func newProgressLine(to io.Writer) *progressLine {
	p := &progressLine{to: raw(to), shown: time.Now()}
	if f, ok := p.to.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// update shows the fetch of the engine library.
func (p *progressLine) update(now embedded.Progress) {
	line := map[string]string{
		"download": "fetching the ClickHouse engine, once",
		"unpack":   "unpacking the ClickHouse engine",
		"wait":     "another process is fetching the ClickHouse engine; waiting",
	}[now.Stage]
	p.show(now.Stage, line, now.Done/1e6, now.Total/1e6, "MB")
}

// table shows the reading of a file, when it takes its time.
func (p *progressLine) table(now table.Progress) {
	switch now.Stage {
	case table.Bytes:
		p.show("", "reading", now.Done/1e6, now.Total/1e6, "MB")
	case table.Rows:
		p.show("", "reading", now.Done, now.Total, "rows")
	default:
		p.show("", "counting", now.Done, now.Total, "columns")
	}
}

// part shows how far a call is.
func (p *progressLine) part(line string, now *driftv1.Progress) {
	p.show("", line, int64(now.GetDone()), int64(now.GetTotal()), now.GetUnit()) //nolint:gosec // counts
}

func (p *progressLine) show(stage, line string, done, total int64, unit string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := 5 * time.Second
	if p.terminal {
		every = 100 * time.Millisecond
	}
	if stage == p.stage && time.Since(p.shown) < every {
		return
	}
	p.shown, p.stage, p.used = time.Now(), stage, true
	if total > 0 {
		line += fmt.Sprintf(": %d of %d %s", done, total, unit)
	}
	if p.terminal {
		fmt.Fprintf(p.to, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.to, line)
}

// end clears the line. It may be called twice.
func (p *progressLine) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used && p.terminal {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
