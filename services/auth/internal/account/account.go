// Package account is what auth knows about people and programs: tenants, their
// users and API keys, the rules their names obey, and how a password is kept
// and checked. It stores nothing.
package account

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/policy"
	"github.com/driftmesh/driftmesh/services/auth/internal/weak"
)

// Limits of what people choose, in bytes.
const (
	maxName     = 128
	minPassword = 8
	maxPassword = 256
)

// Tenant owns data.
type Tenant struct {
	Name     string
	Created  time.Time
	Disabled time.Time // zero for not
}

// User is somebody with a password, or a service account, which has none.
type User struct {
	Tenant  string
	Name    string
	Grant   policy.Grant
	Hash    string // of the password, as Hasher makes it; secret; empty for none
	Created time.Time

	Service   bool      // a program's: it has keys alone
	Disabled  time.Time // zero for not
	LastLogin time.Time // zero for never
	// OneTime passwords were chosen by somebody else and are good for choosing
	// another, until PasswordEnds.
	OneTime      bool
	PasswordEnds time.Time // zero for never
	// TenantDisabled is when the tenant was, zero for not.
	TenantDisabled time.Time

	// Issuer and Subject are who it is at an OpenID provider, which says so: it has no
	// password. Empty for others.
	Issuer, Subject string
}

// External reports whether a provider says who the user is.
func (u User) External() bool { return u.Issuer != "" }

// Good gives fault.Denied when the user may not log in, whatever the password.
func (u User) Good() error {
	switch {
	case !u.TenantDisabled.IsZero():
		return fault.Denied.New("the tenant %q is disabled", u.Tenant).WithReason("TENANT_DISABLED")
	case !u.Disabled.IsZero():
		return fault.Denied.New("the account is disabled").WithReason("ACCOUNT_DISABLED")
	}
	return nil
}

// Session is what begins with a login and ends with a logout: while it lasts,
// refresh tokens get new access tokens.
type Session struct {
	ID      string
	Tenant  string
	User    string
	Created time.Time
	Ends    time.Time
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

	Account    string    // the service account that it is for, empty for none
	CreatedBy  string    // who made it
	LastUsed   time.Time // zero for never, and some minutes behind
	ReplacedBy string    // the id of the key that takes its place, empty for none
	// OwnerDisabled is when its tenant or service account was, zero for not.
	OwnerDisabled time.Time
}

// Good reports whether the key may be used at a time.
func (k Key) Good(now time.Time) bool {
	return k.Revoked.IsZero() && k.OwnerDisabled.IsZero() && (k.Expires.IsZero() || now.Before(k.Expires))
}

// CheckUsername gives fault.Invalid, naming field and rule, for a name that no
// user may have.
func CheckUsername(name string) error { return checkName("username", name) }

// ExternalPrefix begins the names of users that come from OpenID providers, and of no
// others.
const ExternalPrefix = "oidc:"

// CheckNewUsername is CheckUsername for a user that somebody makes.
func CheckNewUsername(name string) error {
	if strings.HasPrefix(name, ExternalPrefix) {
		return invalid("username", "must not begin with %s: such users come from OpenID providers", ExternalPrefix)
	}
	return CheckUsername(name)
}

// ExternalName is the name of a user that a provider calls by a subject: the subject
// where that can be a name, and else a hash of it.
func ExternalName(provider, subject string) string {
	if name := ExternalPrefix + provider + ":" + subject; checkName("username", name) == nil {
		return name
	}
	return ExternalPrefix + provider + ":" + digest(subject)
}

// ExternalNameAt is the name where ExternalName is that of somebody of another issuer:
// the provider was called so before.
func ExternalNameAt(provider, issuer, subject string) string {
	return ExternalPrefix + provider + ":" + digest(issuer+"\n"+subject)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

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
// no user can have. Its error never holds the password.
func CheckPassword(password string) error {
	if n := len(password); n < minPassword || n > maxPassword {
		return invalid("password", "has %d bytes, want %d to %d", n, minPassword, maxPassword)
	}
	return nil
}

// CheckNewPassword is CheckPassword for a password that a user is to get: it
// refuses those that others guess first, too.
func CheckNewPassword(password, tenant, name string) error {
	if err := CheckPassword(password); err != nil {
		return err
	}
	if reason := weak.Reason(password, tenant, name); reason != "" {
		return fault.Invalid.New("password: %s: choose another, such as four words that do not belong together", reason).
			WithReason("PASSWORD_WEAK")
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
	var last error
	for _, err := range errs {
		switch {
		case err == nil:
		case !errors.Is(err, fault.Invalid):
			return err
		default:
			messages, last = append(messages, fault.Of(err).Message()), err
		}
	}
	if len(messages) < 2 {
		return last
	}
	return fault.Invalid.New("%s", strings.Join(messages, "; ")).WithReason("FIELD_INVALID")
}

func invalid(field, format string, args ...any) error {
	return fault.Invalid.New(field+": "+format, args...).WithReason("FIELD_INVALID")
}
