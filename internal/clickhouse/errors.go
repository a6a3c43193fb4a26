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

// Codes of ClickHouse that callers may want to tell apart.
const (
	CodeTableExists      = 57
	CodeUnknownTable     = 60
	CodeUnknownDatabase  = 81
	CodeTimeout          = 159
	CodeTooManyQueries   = 202
	CodeMemoryLimit      = 241
	CodeTooManyParts     = 252
	CodeQueryCancelled   = 394
	CodeAuthentication   = 516
	CodeUnknownException = 1002
)

// codes are ClickHouse's error codes by what they mean for whoever meets them
// (src/Common/ErrorCodes.cpp has all). A code that is not here is Internal:
// retried a few times, then parked.
var codes = map[fault.Kind][]int{
	fault.Unavailable: {
		CodeTooManyQueries, CodeMemoryLimit, CodeTooManyParts,
		CodeUnknownDatabase, // it is made by Migrate, perhaps of another worker
		209, 210, 279,       // SOCKET_TIMEOUT, NETWORK_ERROR, ALL_CONNECTION_TRIES_FAILED
		236, 425, 439, 745, // ABORTED, SYSTEM_ERROR, CANNOT_SCHEDULE_TASK, SERVER_OVERLOADED
		242, 243, // TABLE_IS_READ_ONLY, NOT_ENOUGH_SPACE
		285, 286, 319, 999, // TOO_FEW_LIVE_REPLICAS, UNSATISFIED_QUORUM…, UNKNOWN_STATUS_OF_INSERT, KEEPER_EXCEPTION
	},
	fault.Timeout:         {CodeTimeout},
	fault.Canceled:        {CodeQueryCancelled},
	fault.NotFound:        {CodeUnknownTable},
	fault.Exists:          {CodeTableExists, 82}, // DATABASE_ALREADY_EXISTS
	fault.Conflict:        {517},                 // CANNOT_ASSIGN_ALTER
	fault.Unauthenticated: {CodeAuthentication},
	fault.Denied:          {164, 497}, // READONLY, ACCESS_DENIED
	// The statement or its data.
	fault.Invalid: {
		6, 16, 20, 27, 32, 33, 36, 38, 41, 42, 43, 44, 46, 47, 48, 50, 53, 62, 69, 70, 72, 73, 115, 117, 128, 131, 158,
		190, 271, 307, 349, 396, 456, 457,
	},
}

// kinds is codes the other way round.
var kinds = func() map[int]fault.Kind {
	out := map[int]fault.Kind{}
	for kind, numbers := range codes {
		for _, code := range numbers {
			out[code] = kind
		}
	}
	return out
}()

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

// Blameless is an error of a write that says nothing against the messages whose
// rows were written: the rows are of the right form by construction. Where it is
// about us, our access or our tables, it is waited out, or a wrong password would
// park everything; where it may be about a row after all, it is retried, and then
// its message is singled out.
func Blameless(err error) error {
	switch fault.KindOf(err) {
	case fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Precondition, fault.Unsupported:
		return fault.Unavailable.Wrap(err, "the store is not ready for us")
	case fault.Invalid, fault.Exists:
		return fault.Internal.Wrap(err, "the store refuses a block")
	default:
		return err
	}
}
