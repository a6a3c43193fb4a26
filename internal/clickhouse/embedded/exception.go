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

// ClickHouse's codes that we have to name.
const (
	codeUnsupportedMethod  = 1
	codeBadArguments       = 36
	codeUnknownTable       = 60
	codeSyntaxError        = 62
	codeUnknownDatabase    = 81
	codeTimeout            = 159
	codeTooManyQueries     = 202
	codeQueryCancelled     = 394
	codeQueryTooLarge      = 307
	codeAuthentication     = 516
	codeCannotDecompress   = 271
	codeUnknownException   = 1002
	codeSocketClosed       = 210
	codeUnknownSetting     = 115
	codeMemoryLimit        = 241
	codeCannotReadAllData  = 33
	codeTooLargeArraySize  = 128
	codeAccessDenied       = 497
	codeNotImplemented     = 48
	codeUnknownFormat      = 73
	codeUnknownFunction    = 46
	codeUnknownIdentifier  = 47
	codeNoSuchColumn       = 16
	codeReadOnly           = 164
	codeTooManyBytes       = 396
	codeTypeMismatch       = 53
	codeCannotParseText    = 6
	codeIllegalArgumentsNr = 42
	codeIllegalArgument    = 43
)

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

// status is the HTTP status that ClickHouse's server gives with the code.
func (e *exception) status() int {
	switch e.code {
	case codeAuthentication:
		return http.StatusForbidden
	case codeAccessDenied, codeReadOnly:
		return http.StatusForbidden
	case codeUnknownTable, codeUnknownDatabase, codeUnknownFunction, codeUnknownIdentifier, codeUnknownSetting, codeUnknownFormat, codeNoSuchColumn:
		return http.StatusNotFound
	case codeSyntaxError, codeBadArguments, codeCannotParseText, codeIllegalArgument, codeIllegalArgumentsNr, codeTypeMismatch,
		codeCannotReadAllData, codeTooLargeArraySize, codeCannotDecompress:
		return http.StatusBadRequest
	case codeQueryTooLarge, codeTooManyBytes:
		return http.StatusRequestEntityTooLarge
	case codeTooManyQueries:
		return http.StatusServiceUnavailable
	case codeTimeout:
		return http.StatusRequestTimeout
	case codeUnsupportedMethod, codeNotImplemented:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}
