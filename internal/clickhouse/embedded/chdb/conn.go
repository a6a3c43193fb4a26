package chdb

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"
)

// Param is one {name:Type} query parameter, its value in ClickHouse's escaped
// text form.
type Param struct{ Name, Value string }

// Stats are what the engine counted while it ran a statement.
type Stats struct {
	ReadRows, ReadBytes       uint64 // from tables
	ResultRows                uint64
	WrittenRows, WrittenBytes uint64 // into tables, materialized views included
}

// Conn is one session of the engine: its current database and settings are its
// own. It runs one statement at a time and may be used by one goroutine at a
// time.
type Conn struct {
	lib    *Library
	handle *unsafe.Pointer // chdb_connection *
}

// Connect opens a session. The arguments are those of `clickhouse local`
// (--path=…, --max_threads=…): those of the first connection of the process
// boot the engine, of later ones only query settings count. All connections of
// a process must name the same path.
func (l *Library) Connect(args ...string) (*Conn, error) {
	argv := make([]*byte, 0, len(args)+1)
	for _, a := range append([]string{"clickhouse"}, args...) {
		argv = append(argv, &append([]byte(a), 0)[0])
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	for _, a := range argv {
		pins.Pin(a)
	}
	l.connecting.Lock()
	defer l.connecting.Unlock()
	var handle unsafe.Pointer
	err := keepSignalHandlers(func() {
		l.fn.signalHandlers(0)
		handle = l.fn.connect(int32(len(argv)), unsafe.Pointer(&argv[0]))
	})
	switch {
	case err != nil:
		return nil, err
	case handle == nil:
		return nil, errors.New("the engine refused the connection")
	}
	return &Conn{lib: l, handle: (*unsafe.Pointer)(handle)}, nil
}

// Close ends the session. The engine itself keeps running.
func (c *Conn) Close() {
	c.lib.fn.closeConn(unsafe.Pointer(c.handle))
	c.handle = nil
}

// Query runs one statement to its end and returns the whole result in format
// (a FORMAT clause of the statement wins).
func (c *Conn) Query(sql, format string, params []Param) ([]byte, Stats, error) {
	result := c.call(c.lib.fn.query, sql, format, params)
	if result == nil {
		return nil, Stats{}, errors.New("the engine gave no result")
	}
	defer c.lib.fn.destroyResult(result)
	return c.lib.take(result)
}

// Stream starts one statement whose result is read piece by piece.
func (c *Conn) Stream(sql, format string, params []Param) (*Stream, error) {
	result := c.call(c.lib.fn.streamQuery, sql, format, params)
	if result == nil {
		return nil, errors.New("the engine gave no stream")
	}
	if text := goString(c.lib.fn.resultError(result)); text != "" {
		c.lib.fn.destroyResult(result)
		return nil, errors.New(text)
	}
	return &Stream{conn: c, handle: result}, nil
}

// Insert starts an INSERT (without FORMAT clause and data); its rows follow by
// Append in the given format.
func (c *Conn) Insert(sql, format string, params []Param) (*Insert, error) {
	handle := c.call(c.lib.fn.insert, sql, format, params)
	if handle == nil {
		return nil, errors.New("the engine gave no insert stream")
	}
	if text := goString(c.lib.fn.insertError(handle)); text != "" {
		c.lib.fn.insertDestroy(handle)
		return nil, errors.New(text)
	}
	return &Insert{lib: c.lib, handle: handle}, nil
}

type statementFunc = func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, params uintptr) unsafe.Pointer

// call hands a statement to one of the three functions that take one. The
// engine copies all of it before it returns.
func (c *Conn) call(fn statementFunc, sql, format string, params []Param) unsafe.Pointer {
	var pins runtime.Pinner
	defer pins.Unpin()
	n := len(params)
	names, values := make([]*byte, n+1), make([]*byte, n+1)
	nameLens, valueLens := make([]uintptr, n+1), make([]uintptr, n+1)
	for i, p := range params {
		names[i], nameLens[i] = bytesOf(&pins, p.Name)
		values[i], valueLens[i] = bytesOf(&pins, p.Value)
	}
	sqlData, sqlLen := bytesOf(&pins, sql)
	formatData, formatLen := bytesOf(&pins, format)
	result := fn(*c.handle, unsafe.Pointer(sqlData), sqlLen, unsafe.Pointer(formatData), formatLen,
		unsafe.Pointer(&names[0]), unsafe.Pointer(&nameLens[0]), unsafe.Pointer(&values[0]), unsafe.Pointer(&valueLens[0]), uintptr(n))
	runtime.KeepAlive(params)
	return result
}

// bytesOf gives C the bytes of s with a NUL behind them, pinned.
func bytesOf(pins *runtime.Pinner, s string) (*byte, uintptr) {
	b := make([]byte, len(s)+1)
	copy(b, s)
	pins.Pin(&b[0])
	return &b[0], uintptr(len(s))
}

// take copies data, statistics and error out of a result.
func (l *Library) take(result unsafe.Pointer) ([]byte, Stats, error) {
	if text := goString(l.fn.resultError(result)); text != "" {
		return nil, Stats{}, errors.New(text)
	}
	return append([]byte(nil), l.view(result)...), l.stats(result), nil
}

// view is the data of a result, valid until the result is destroyed.
func (l *Library) view(result unsafe.Pointer) []byte {
	n := l.fn.resultLength(result)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(l.fn.resultBuffer(result)), n)
}

func (l *Library) stats(result unsafe.Pointer) Stats {
	return Stats{
		ReadRows:     l.fn.storageRows(result),
		ReadBytes:    l.fn.storageBytes(result),
		ResultRows:   l.fn.rowsRead(result),
		WrittenRows:  l.fn.rowsWritten(result),
		WrittenBytes: l.fn.bytesWritten(result),
	}
}

// Stream is the result of a statement as it comes.
type Stream struct {
	conn   *Conn
	handle unsafe.Pointer
	stats  Stats
	ended  bool
}

// Next hands the next piece to fn; the bytes are the engine's and valid only
// during the call. It reports false after the last piece. An error of fn stops
// the stream and is returned.
func (s *Stream) Next(fn func([]byte) error) (bool, error) {
	lib := s.conn.lib
	piece := lib.fn.streamFetch(s.conn.connection(), s.handle)
	if piece == nil {
		s.ended = true
		return false, nil
	}
	defer lib.fn.destroyResult(piece)
	if text := goString(lib.fn.resultError(piece)); text != "" {
		s.ended = true
		return false, errors.New(text)
	}
	got := lib.stats(piece)
	s.stats.ReadRows, s.stats.ReadBytes = got.ReadRows, got.ReadBytes
	s.stats.ResultRows += got.ResultRows
	data := lib.view(piece)
	if len(data) == 0 {
		s.ended = true
		return false, nil
	}
	if err := fn(data); err != nil {
		return false, fmt.Errorf("pass on result: %w", err)
	}
	return true, nil
}

// Stats are the counts so far.
func (s *Stream) Stats() Stats { return s.stats }

// Close frees the stream and stops the statement if it still runs.
func (s *Stream) Close() {
	lib := s.conn.lib
	if !s.ended {
		lib.fn.streamCancel(s.conn.connection(), s.handle)
	}
	lib.fn.destroyResult(s.handle)
	s.handle = nil
}

func (c *Conn) connection() unsafe.Pointer { return *c.handle }

// Insert is a running INSERT.
type Insert struct {
	lib    *Library
	handle unsafe.Pointer
	done   bool
}

// Append gives the engine the next bytes; it copies them and may block while
// it is behind.
func (i *Insert) Append(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	pins.Pin(&data[0])
	if i.lib.fn.insertAppend(i.handle, unsafe.Pointer(&data[0]), uintptr(len(data))) == 0 {
		return nil
	}
	if text := goString(i.lib.fn.insertError(i.handle)); text != "" {
		return errors.New(text)
	}
	return errors.New("the engine ended the insert")
}

// Done ends the data and waits until it is stored.
func (i *Insert) Done() (Stats, error) {
	i.done = true
	result := i.lib.fn.insertDone(i.handle)
	if result == nil {
		return Stats{}, errors.New("the engine gave no result of the insert")
	}
	defer i.lib.fn.destroyResult(result)
	_, stats, err := i.lib.take(result)
	return stats, err
}

// Close frees the insert, which is abandoned when Done was not called.
func (i *Insert) Close() {
	if !i.done {
		i.lib.fn.insertCancel(i.handle)
	}
	i.lib.fn.insertDestroy(i.handle)
	i.handle = nil
}
