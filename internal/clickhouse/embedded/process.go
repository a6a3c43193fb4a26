package embedded

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// runChild starts a child and waits for its end.
func (e *Engine) runChild(ctx context.Context) error {
	cmd := e.cfg.Command()
	cmd.ExtraFiles = []*os.File{e.socket}
	cmd.SysProcAttr = childAttributes()
	cmd.Env = append(cmd.Environ(), childVariable+"=1")
	logs := &lineLogger{log: e.cfg.Log}
	cmd.Stderr = logs
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("make the engine's stdin: %w", err)
	}
	reports, reportsIn, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make the engine's stdout: %w", err)
	}
	defer reports.Close() //nolint:errcheck // it is only read
	cmd.Stdout = reportsIn
	err = cmd.Start()
	_ = reportsIn.Close()
	if err != nil {
		return fmt.Errorf("start the engine process: %w", err)
	}
	e.began(cmd.Process)
	defer e.ended()

	var reading sync.WaitGroup
	var said report
	reading.Go(func() { said = e.listen(reports) })
	if err := send(stdin, e.orders); err != nil {
		e.cfg.Log.Warn("engine does not take its orders", "err", err)
	}
	exited := make(chan struct{})
	var ending sync.WaitGroup
	ending.Go(func() { endChild(ctx, exited, stdin, cmd.Process) })
	reading.Wait() // stdout ends with the process, and its last word may be why
	err = cmd.Wait()
	close(exited)
	ending.Wait()
	logs.flush() //nolint:contextcheck // what a child says belongs to no call
	if said.Failure != "" {
		return errors.New(said.Failure)
	}
	if err == nil {
		err = errors.New("the engine process ended by itself")
	}
	return err
}

// endChild waits until ctx ends and then has the child end: closing stdin is
// the order to, and a child that does not obey is killed.
func endChild(ctx context.Context, exited <-chan struct{}, stdin io.Closer, process *os.Process) {
	select {
	case <-exited:
		_ = stdin.Close()
		return
	case <-ctx.Done():
		_ = stdin.Close()
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-exited:
	case <-grace.C:
		_ = process.Kill()
	}
}

// listen follows the child's reports until its stdout ends and returns the
// last.
func (e *Engine) listen(reports io.Reader) (last report) {
	lines := bufio.NewScanner(reports)
	for lines.Scan() {
		var r report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			e.cfg.Log.Debug("engine output", "line", lines.Text())
			continue
		}
		last = r
		if r.Ready {
			e.answering(r.Version)
		}
	}
	_, _ = io.Copy(io.Discard, reports) // a line beyond the scanner's limit
	return last
}

func (e *Engine) began(child *os.Process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.child = child
}

func (e *Engine) answering(version string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.version, e.isReady, e.failure = version, true, nil
	close(e.ready) // once: a child says that it is ready once, and ended makes a new one
	e.cfg.Log.Info("engine is ready", "version", version, "pid", e.child.Pid, "address", e.listener.Addr().String())
}

func (e *Engine) ended() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.child = nil
	if e.isReady {
		e.isReady, e.ready = false, make(chan struct{})
	}
}

// maxLogLine bounds a line of the child's stderr.
const maxLogLine = 16 << 10

// lineLogger logs what the child writes to stderr, line by line.
type lineLogger struct {
	log *slog.Logger
	buf []byte
}

func (l *lineLogger) Write(p []byte) (int, error) {
	l.buf = append(l.buf, p...)
	for {
		line, rest, found := bytes.Cut(l.buf, []byte{'\n'})
		if !found {
			break
		}
		l.emit(line)
		l.buf = append(l.buf[:0], rest...)
	}
	if len(l.buf) > maxLogLine {
		l.flush()
	}
	return len(p), nil
}

func (l *lineLogger) flush() {
	l.emit(l.buf)
	l.buf = l.buf[:0]
}

// emit logs a line: a record of the child's own logger as what it is, the rest
// as a warning, for the engine only speaks when something is wrong.
func (l *lineLogger) emit(line []byte) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return
	}
	var record map[string]any
	if json.Unmarshal(line, &record) != nil || record[slog.MessageKey] == nil {
		l.log.Warn("engine says", "line", string(line))
		return
	}
	var level slog.Level
	_ = level.UnmarshalText(fmt.Append(nil, record[slog.LevelKey]))
	attrs := []slog.Attr{slog.Any("text", record[slog.MessageKey])}
	for key, value := range record {
		if key != slog.MessageKey && key != slog.LevelKey && key != slog.TimeKey {
			attrs = append(attrs, slog.Any(key, value))
		}
	}
	l.log.LogAttrs(context.Background(), level, "engine says", attrs...)
}
