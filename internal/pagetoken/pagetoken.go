// Package pagetoken says where a page of a list ended, as text that goes through
// URLs: the moment of the last item, and what else tells it from others.
package pagetoken

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
)

const separator = "/"

// Of is the token of a place. The parts have no slash, but for the last.
func Of(at int64, parts ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(at, 10) + separator + strings.Join(parts, separator)))
}

// Parse reads what Of writes for a number of parts. It gives fault.Invalid for what
// is no such token.
func Parse(token string, parts int) (at int64, rest []string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	rest = strings.SplitN(string(raw), separator, 1+parts)
	if err == nil && len(rest) == 1+parts {
		if at, err = strconv.ParseInt(rest[0], 10, 64); err == nil {
			return at, rest[1:], nil
		}
	}
	return 0, nil, Unknown()
}

// Unknown is the error for a token that no list gave out.
func Unknown() error {
	return fault.Invalid.New("page_token: not one that was given out").WithReason("PAGE_TOKEN_INVALID")
}
