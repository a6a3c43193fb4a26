package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Error is what ClickHouse said.
type Error struct {
	Code    int    // ClickHouse's error code, e.g. 60
	Name    string // its name, e.g. UNKNOWN_TABLE, "" if it was not told
	Message string
	Status  int // of HTTP, 0 if the error came within a result
}

// Error is the message with the code in front.
func (e *Error) Error() string {
	return fmt.Sprintf("clickhouse: code %d %s: %s", e.Code, e.Name, e.Message)
}

// ClickHouse's codes that mean something to a caller. All of them:
// https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
const (
	CodeUnknownTable       = 60
	CodeTableExists        = 57
	CodeUnknownDatabase    = 81
	CodeTimeout            = 159
	CodeTooManyQueries     = 202
	CodeMemoryLimit        = 241
	CodeTooManyParts       = 252
	CodeQueryCancelled     = 394
	CodeAuthentication     = 516
	CodeUnknownException   = 1002
	codeNetwork            = 210
	codeSocketTimeout      = 209
	codeReadonly           = 242
	codeNoReplica          = 285 // TOO_FEW_LIVE_REPLICAS
	codeUnsatisfiedQuorum  = 286
	codeAllConnections     = 279
	codeKeeper             = 999
	codeAborted            = 236
	codeCannotSchedule     = 439
	codeSystemDown         = 425
	codeUnknownStatus      = 319
	codeServerOverloaded   = 745
	codeNotEnoughSpace     = 243
	codeTableReadOnly      = 242
	codeConcurrentNotAllow = 517 // CANNOT_ASSIGN_ALTER
)

// kinds is what a code means for whoever meets it. A code that is not here is
// Internal: retried a few times, then parked.
var kinds = map[int]fault.Kind{
	CodeTooManyQueries: fault.Unavailable, CodeMemoryLimit: fault.Unavailable, CodeTooManyParts: fault.Unavailable,
	codeNetwork: fault.Unavailable, codeSocketTimeout: fault.Unavailable, codeTableReadOnly: fault.Unavailable,
	codeNoReplica: fault.Unavailable, codeUnsatisfiedQuorum: fault.Unavailable, codeAllConnections: fault.Unavailable,
	codeKeeper: fault.Unavailable, codeAborted: fault.Unavailable, codeCannotSchedule: fault.Unavailable,
	codeSystemDown: fault.Unavailable, codeUnknownStatus: fault.Unavailable, codeServerOverloaded: fault.Unavailable,
	codeNotEnoughSpace: fault.Unavailable,
	// A database that is not there yet is made by Migrate, perhaps of another
	// worker.
	CodeUnknownDatabase: fault.Unavailable, CodeUnknownTable: fault.NotFound,
	CodeTimeout: fault.Timeout, CodeQueryCancelled: fault.Canceled,
	CodeAuthentication: fault.Unauthenticated, 497: fault.Denied, 164: fault.Denied,
	CodeTableExists: fault.Exists, codeConcurrentNotAllow: fault.Conflict,
	// The statement or its data.
	6: fault.Invalid, 16: fault.Invalid, 20: fault.Invalid, 27: fault.Invalid, 32: fault.Invalid, 33: fault.Invalid,
	36: fault.Invalid, 38: fault.Invalid, 41: fault.Invalid, 42: fault.Invalid, 43: fault.Invalid, 46: fault.Invalid,
	47: fault.Invalid, 50: fault.Invalid, 53: fault.Invalid, 62: fault.Invalid, 69: fault.Invalid, 70: fault.Invalid,
	72: fault.Invalid, 115: fault.Invalid, 117: fault.Invalid, 128: fault.Invalid, 131: fault.Invalid, 158: fault.Invalid,
	190: fault.Invalid, 271: fault.Invalid, 307: fault.Invalid, 349: fault.Invalid, 396: fault.Invalid, 456: fault.Invalid,
}

func (e *Error) kind() fault.Kind {
	if kind, ok := kinds[e.Code]; ok {
		return kind
	}
	switch e.Status {
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return fault.Unavailable
	}
	return fault.Internal
}

// Classify makes a fault of an error that came from ClickHouse or its client.
// DB's own methods have done so already; it is for errors of what they return,
// such as a batch. It returns nil for nil, and a fault as it is.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Fault](err); ok {
		return err
	}
	if e := errorOf(err); e != nil {
		return e.kind().Wrap(e, "the store refused: %s", e.label())
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fault.Canceled.Wrap(err, "the call was canceled")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Timeout.Wrap(err, "the store took too long")
	case away(err):
		return fault.Unavailable.Wrap(err, "the store is away")
	}
	return err
}

// label is what callers may see of an error: the name of its code.
func (e *Error) label() string {
	if e.Name != "" {
		return e.Name
	}
	return "code " + strconv.Itoa(e.Code)
}

// errorOf finds ClickHouse's own error in one of clickhouse-go's.
func errorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	h, isHTTP := errors.AsType[*clickhousego.HTTPError](err)
	x, ok := errors.AsType[*clickhousego.Exception](err)
	switch {
	case !ok && isHTTP: // not ClickHouse but something before it
		return &Error{Code: CodeUnknownException, Message: h.Error(), Status: h.StatusCode}
	case !ok:
		return nil
	}
	e := &Error{Code: int(x.Code), Name: x.Name, Message: x.Message}
	if isHTTP {
		e.Status = h.StatusCode
	}
	if parsed := parseError(x.Message, 0); parsed != nil && (e.Name == "" || !isName(e.Name)) {
		e.Name = parsed.Name
	}
	return e
}

var (
	errorText = regexp.MustCompile(`(?s)Code: (\d+)\. (?:DB::Exception: )?(.*)`)
	errorName = regexp.MustCompile(`\(([A-Z][A-Z0-9_]+)\)`)
)

func isName(s string) bool { return errorName.MatchString("(" + s + ")") }

// parseError reads "Code: 60. DB::Exception: … (UNKNOWN_TABLE) (version …)";
// it returns nil for any other text.
func parseError(text string, status int) *Error {
	e := &Error{Status: status}
	if names := errorName.FindAllStringSubmatch(text, -1); names != nil {
		e.Name = names[len(names)-1][1]
	}
	m := errorText.FindStringSubmatch(text)
	if m == nil {
		if e.Name == "" {
			return nil
		}
		e.Message = strings.TrimSpace(text)
		return e
	}
	e.Code, _ = strconv.Atoi(m[1])
	e.Message = strings.TrimSpace(m[2])
	return e
}

// away reports whether err says that nobody answered.
func away(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, clickhousego.ErrAcquireConnTimeout} {
		if errors.Is(err, e) {
			return true
		}
	}
	text := err.Error()
	return strings.Contains(text, "server closed idle connection") || strings.Contains(text, "connection reset")
}
