// Package account is what auth knows about people and programs: tenants, their
// users and API keys, the rules their names obey, and how a password is kept
// and checked. It stores nothing.
package account

import (
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
)

// Limits of what people choose, in bytes.
const (
	maxName     = 128
	minPassword = 8
	maxPassword = 256
)

// Tenant owns data.
type Tenant struct {
	Name    string
	Created time.Time
}

// User is somebody with a password.
type User struct {
	Tenant  string
	Name    string
	Grant   policy.Grant
	Hash    string // of the password, as Hasher makes it; secret
	Created time.Time
}

// Key is an API key without its secret.
type Key struct {
	ID      string
	Name    string
	Tenant  string
	Grant   policy.Grant
	Hash    []byte // of the secret, as package token makes it
	Created time.Time
	Expires time.Time // zero for never
	Revoked time.Time // zero for not
}

// Good reports whether the key may be used at a time.
func (k Key) Good(now time.Time) bool {
	return k.Revoked.IsZero() && (k.Expires.IsZero() || now.Before(k.Expires))
}

// CheckUsername gives fault.Invalid, naming field and rule, for a name that no
// user may have.
func CheckUsername(name string) error { return checkName("username", name) }

// CheckKeyName gives fault.Invalid, naming field and rule, for a name that no
// API key may have.
func CheckKeyName(name string) error { return checkName("name", name) }

func checkName(field, name string) error {
	switch {
	case name == "" || len(name) > maxName:
		return invalid(field, "has %d bytes, want 1 to %d", len(name), maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable):
		return invalid(field, "want printable UTF-8 text")
	case strings.TrimSpace(name) != name:
		return invalid(field, "must not begin or end with a space")
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// CheckPassword gives fault.Invalid, naming field and rule, for a password that
// no user may have. Its error never holds the password.
func CheckPassword(password string) error {
	if n := len(password); n < minPassword || n > maxPassword {
		return invalid("password", "has %d bytes, want %d to %d", n, minPassword, maxPassword)
	}
	return nil
}

// CheckExpiry gives fault.Invalid for an end that is not ahead. Zero is never.
func CheckExpiry(ends, now time.Time) error {
	if !ends.IsZero() && !ends.After(now) {
		return invalid("expire_time", "must be in the future")
	}
	return nil
}

// All joins what several checks found, so that the caller learns everything at
// once: nil, or one fault.Invalid. Other errors come first and alone.
func All(errs ...error) error {
	var messages []string
	for _, err := range errs {
		switch {
		case err == nil:
		case !errors.Is(err, fault.Invalid):
			return err
		default:
			messages = append(messages, fault.Of(err).Message())
		}
	}
	if messages == nil {
		return nil
	}
	return fault.Invalid.New("%s", strings.Join(messages, "; ")).WithReason("FIELD_INVALID")
}

func invalid(field, format string, args ...any) error {
	return fault.Invalid.New(field+": "+format, args...).WithReason("FIELD_INVALID")
}
