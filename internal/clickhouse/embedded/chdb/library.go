// Package chdb binds the C interface of libchdb, the ClickHouse engine as a
// shared library, without cgo.
//
// It is as thin as it can be: a Library is the loaded file, a Conn one session
// of the engine, a Stream a running SELECT, an Insert a running INSERT. What
// the calls mean is ClickHouse's business; who may call what at the same time
// is this package's: a Library may be used from many goroutines, everything
// below it from one at a time.
//
// The engine runs in the process that loads it and can take that process down
// with it. Package embedded therefore loads it in a child process only.
package chdb

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Library is a loaded libchdb. There can be one in a process, and it stays
// until the process ends.
type Library struct {
	fn         functions
	connecting sync.Mutex // connects are one at a time (see keepSignalHandlers)
}

// functions are the symbols of chdb.h that we call. The field's tag is the
// symbol's name.
type functions struct {
	version        func() unsafe.Pointer
	connect        func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn      func(conn unsafe.Pointer)
	query          func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, params uintptr) unsafe.Pointer
	streamQuery    func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, params uintptr) unsafe.Pointer
	streamFetch    func(conn, stream unsafe.Pointer) unsafe.Pointer
	streamCancel   func(conn, stream unsafe.Pointer)
	destroyResult  func(result unsafe.Pointer)
	insert         func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, params uintptr) unsafe.Pointer
	insertAppend   func(stream, data unsafe.Pointer, length uintptr) int32
	insertDone     func(stream unsafe.Pointer) unsafe.Pointer
	insertCancel   func(stream unsafe.Pointer)
	insertError    func(stream unsafe.Pointer) unsafe.Pointer
	insertDestroy  func(stream unsafe.Pointer)
	resultBuffer   func(result unsafe.Pointer) unsafe.Pointer
	resultLength   func(result unsafe.Pointer) uintptr
	resultError    func(result unsafe.Pointer) unsafe.Pointer
	rowsRead       func(result unsafe.Pointer) uint64
	storageRows    func(result unsafe.Pointer) uint64
	storageBytes   func(result unsafe.Pointer) uint64
	rowsWritten    func(result unsafe.Pointer) uint64
	bytesWritten   func(result unsafe.Pointer) uint64
	signalHandlers func(enabled int32)
}

func (f *functions) symbols() map[string]any {
	return map[string]any{
		"chdb_version":                     &f.version,
		"chdb_connect":                     &f.connect,
		"chdb_close_conn":                  &f.closeConn,
		"chdb_query_with_params_n":         &f.query,
		"chdb_stream_query_with_params_n":  &f.streamQuery,
		"chdb_stream_fetch_result":         &f.streamFetch,
		"chdb_stream_cancel_query":         &f.streamCancel,
		"chdb_destroy_query_result":        &f.destroyResult,
		"chdb_stream_insert_with_params_n": &f.insert,
		"chdb_stream_append":               &f.insertAppend,
		"chdb_stream_done":                 &f.insertDone,
		"chdb_stream_cancel_insert":        &f.insertCancel,
		"chdb_stream_insert_error":         &f.insertError,
		"chdb_destroy_insert_stream":       &f.insertDestroy,
		"chdb_result_buffer":               &f.resultBuffer,
		"chdb_result_length":               &f.resultLength,
		"chdb_result_error":                &f.resultError,
		"chdb_result_rows_read":            &f.rowsRead,
		"chdb_result_storage_rows_read":    &f.storageRows,
		"chdb_result_storage_bytes_read":   &f.storageBytes,
		"chdb_result_rows_written":         &f.rowsWritten,
		"chdb_result_bytes_written":        &f.bytesWritten,
		"chdb_set_signal_handlers_enabled": &f.signalHandlers,
	}
}

// Load loads the library at path and binds its functions. The engine starts
// with the first Connect. Loading maps some 550 MB of file and takes a few
// tenths of a second.
func Load(path string) (*Library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load engine library: %w", err)
	}
	lib := &Library{}
	for name, target := range lib.fn.symbols() {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("load engine library %s: %w", path, err)
		}
		purego.RegisterFunc(target, symbol)
	}
	return lib, nil
}

// Version is the version the library gives itself, e.g. "26.7.0".
func (l *Library) Version() string { return goString(l.fn.version()) }

// goString copies a NUL-terminated C string, "" for nil.
func goString(p unsafe.Pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}
