// Package scouterdoor is the door for Scouter's clients: their HTTP API, below
// /scouter, and their gRPC services. What they say is turned into records, spans and
// profiles of ours (package scouter) and goes the ways that those go; what they ask
// is asked of the services behind the gateway.
//
// Whoever comes passes the same edge as everybody else. Two things are their own:
// a login that costs no hash each time, and tokens that renew themselves, because
// these clients log in once, and lose in silence what they send after a refusal.
package scouterdoor
