// Package oidc lets others say who somebody is: OpenID providers, found by
// discovery. It knows their protocol and nothing of our accounts:
//
//	settings ─▶ Provider ─▶ where to send a browser, what a code or token is worth
//	                          │ Claims, verified
//	                          ▼
//	            Rules ─▶ tenant, role and spaces; nothing where no rule matches
//
// What is between the beginning and the end of a login is sealed and given to
// whoever began it (Pending): nothing is kept here for strangers.
//
// Nothing is asked of a provider over plain text beyond loopback; what it answers
// is bounded in size and time. Its keys are fetched when a token names one that is
// not known, a few times and then now and then, whoever sends such tokens.
package oidc
