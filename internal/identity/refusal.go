package identity

import "github.com/driftmesh/driftmesh/internal/fault"

// Reasons of the fault.Unauthenticated, fault.Denied and fault.Unavailable
// errors of this package.
const (
	ReasonMissing       = "CREDENTIALS_MISSING"      // none were given
	ReasonAmbiguous     = "CREDENTIALS_AMBIGUOUS"    // more than one was given
	ReasonScheme        = "CREDENTIALS_UNSUPPORTED"  // not Bearer, e.g. Basic
	ReasonMalformed     = "TOKEN_MALFORMED"          // not a token of ours
	ReasonSignature     = "TOKEN_SIGNATURE_INVALID"  // changed, or signed by somebody else
	ReasonExpired       = "TOKEN_EXPIRED"            // was good once
	ReasonNotYet        = "TOKEN_NOT_YET_VALID"      // will be good
	ReasonIssuer        = "TOKEN_ISSUER_FOREIGN"     // issued by somebody else
	ReasonAudience      = "TOKEN_AUDIENCE_FOREIGN"   // issued for somebody else
	ReasonUnknownKey    = "TOKEN_KEY_UNKNOWN"        // signed with a key that is not published
	ReasonRevoked       = "TOKEN_REVOKED"            // logged out, or the account was changed
	ReasonAPIKeyRefused = "API_KEY_REFUSED"          // unknown, malformed, revoked or expired
	ReasonDenied        = "NOT_ALLOWED"              // known, but may not do this
	ReasonNotVerifiable = "CREDENTIALS_UNVERIFIABLE" // cannot be checked now: auth is away
)

func refuse(reason, format string, args ...any) *fault.Fault {
	return fault.Unauthenticated.New(format, args...).WithReason(reason)
}

func refuseFor(cause error, reason, message string) *fault.Fault {
	return fault.Unauthenticated.Wrap(cause, "%s", message).WithReason(reason)
}

func errMissing() error {
	return refuse(ReasonMissing,
		`credentials are missing: send "authorization: Bearer <token>" or "x-api-key: <key>"`)
}
