// Package auth is the service that knows who may call: it makes tenants, users
// and API keys, gives tokens to users who know their password, and publishes
// the keys with which anybody checks those tokens without asking.
//
//	consumes  nothing
//	produces  nothing
//	calls     the OpenID providers that the settings name
//	owns      the SQL schema auth: tenants, users, api_keys, sessions,
//	          refresh_tokens, revocations, signing_keys, finished_logins, the
//	          audit chain
//
// Only other services call it, with a service token that repeats the identity
// of whoever called the mesh; logging in and out,
// refreshing tokens, changing one's own password and ListKeys are open to calls
// without one.
// Every method passes authorize, which holds the whole table of who may do
// what:
//
//	caller ─▶ gateway ─(service token)─▶ authorize ─▶ rules of the field ─▶ store
//
// Passwords are kept as argon2id, API keys as SHA-256 of 256 random bits, and
// the keys that sign tokens encrypted under the mesh secret. No method returns
// any of them, except a new API key, once.
package auth
