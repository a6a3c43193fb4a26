package embedded

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// exception is an error of the engine, or of ours in the engine's words.
type exception struct {
	code int
	text string // "Code: 62. DB::Exception: … (SYNTAX_ERROR)"
}

// ClickHouse's codes of our own refusals.
const (
	codeUnsupportedMethod = 1
	codeCannotReadAllData = 33
	codeNotImplemented    = 48
	codeSyntaxError       = 62
	codeTooManyQueries    = 202
	codeCannotDecompress  = 271
	codeQueryTooLarge     = 307
	codeQueryCancelled    = 394
	codeAuthentication    = 516
	codeUnknownException  = 1002
)

// statuses are the HTTP statuses that ClickHouse's server gives with a code;
// with all others it gives 500.
var statuses = map[int]int{
	codeUnsupportedMethod: http.StatusNotImplemented,
	codeNotImplemented:    http.StatusNotImplemented,
	codeTooManyQueries:    http.StatusServiceUnavailable,
	codeAuthentication:    http.StatusForbidden,
	497:                   http.StatusForbidden, // ACCESS_DENIED
	164:                   http.StatusForbidden, // READONLY
	159:                   http.StatusRequestTimeout,
	codeQueryTooLarge:     http.StatusRequestEntityTooLarge,
	396:                   http.StatusRequestEntityTooLarge, // TOO_MANY_ROWS_OR_BYTES

	16:  http.StatusNotFound, // NO_SUCH_COLUMN_IN_TABLE
	46:  http.StatusNotFound, // UNKNOWN_FUNCTION
	47:  http.StatusNotFound, // UNKNOWN_IDENTIFIER
	60:  http.StatusNotFound, // UNKNOWN_TABLE
	73:  http.StatusNotFound, // UNKNOWN_FORMAT
	81:  http.StatusNotFound, // UNKNOWN_DATABASE
	115: http.StatusNotFound, // UNKNOWN_SETTING

	codeSyntaxError:       http.StatusBadRequest,
	codeCannotReadAllData: http.StatusBadRequest,
	codeCannotDecompress:  http.StatusBadRequest,
	6:                     http.StatusBadRequest, // CANNOT_PARSE_TEXT
	32:                    http.StatusBadRequest, // ATTEMPT_TO_READ_AFTER_EOF
	36:                    http.StatusBadRequest, // BAD_ARGUMENTS
	42:                    http.StatusBadRequest, // NUMBER_OF_ARGUMENTS_DOESNT_MATCH
	43:                    http.StatusBadRequest, // ILLEGAL_TYPE_OF_ARGUMENT
	53:                    http.StatusBadRequest, // TYPE_MISMATCH
	128:                   http.StatusBadRequest, // TOO_LARGE_ARRAY_SIZE
}

func (e *exception) Error() string { return e.text }

var codePattern = regexp.MustCompile(`^Code: (\d+)\. `)

// engineError is the exception in an error of package chdb.
func engineError(err error) *exception {
	text := err.Error()
	if m := codePattern.FindStringSubmatch(text); m != nil {
		if code, err := strconv.Atoi(m[1]); err == nil {
			return &exception{code: code, text: text}
		}
	}
	return refuse(codeUnknownException, "UNKNOWN_EXCEPTION", "%s", text)
}

// refuse is an exception of our own.
func refuse(code int, name, format string, args ...any) *exception {
	return &exception{code: code, text: fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, strings.TrimSuffix(fmt.Sprintf(format, args...), "."), name)}
}

// status is the HTTP status of the exception.
func (e *exception) status() int {
	if status, ok := statuses[e.code]; ok {
		return status
	}
	return http.StatusInternalServerError
}
