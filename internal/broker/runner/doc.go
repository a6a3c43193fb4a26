// Package runner works a group of a topic: it receives batches, has a Handler
// handle them, and sees every delivery through to an end, the same way on every
// broker.
//
//	done      acknowledged
//	failed    tried again with back-off, halved until the culprit stands alone,
//	          given back; parked after so many attempts
//	waits     for a neighbour: set aside in the retry topic, where another Runner
//	          of the same Handler tries it again
//	dead      parked in the dead letters, whole or cut (Parked, StandIn); Unpark
//	          is the way back
//
// What a delivery is in for, its Handler says by a Verdict or an error, whose
// fault kind decides. Nothing is acknowledged before what replaces it is durable,
// so a crash at any moment brings a message again and loses none. The Runner keeps
// leases, and traces and counts with what its broker was instrumented with; a
// Handler adds the steps of its own work by Step.
package runner
