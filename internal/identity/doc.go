// Package identity says who calls, and proves it.
//
// An Identity names a tenant, a subject within it, and what kind of caller that
// is. It travels in the context; whoever needs the tenant takes it from there
// and from nowhere else, so that no payload can choose whose data it touches.
//
// There are three proofs:
//
//	proof           made by            checked by         with
//	user token      auth (Ed25519)     TokenVerifier      auth's public keys, fetched and kept
//	API key         auth               KeyVerifier        auth, asked once a minute at most
//	service token   Signer (HMAC)      ServiceVerifier    the mesh secret, shared by the services
//
// The door (gateway) checks the first two with an Authenticator and puts the
// Identity into the context. From there on every call between services carries
// a service token, attached by Signer.Credentials, that repeats this identity;
// the callee checks it and puts the same Identity into its own context.
//
// Whoever holds the mesh secret can speak for anybody: it belongs to services
// only, and is never logged or sent.
//
// The package stores nothing and knows no password; that is auth's. All its
// verifiers are safe for concurrent use and bounded in memory.
package identity
