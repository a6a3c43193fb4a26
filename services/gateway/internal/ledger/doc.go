// Package ledger adds up what became of everything that ever arrived at the
// door, per tenant and signal:
//
//	accepted = stored + duplicate + rejected + sampled + dead-lettered + in flight
//
// Two sides are added up for each way in. The door's side is this process's own: what it accepted
// and refused since it started. The settled side is what the service that
// works a signal has written beside its data, message by message, by the
// gateway process that accepted it.
//
// What this process accepted and nobody settled yet is in flight. An earlier
// process, or another one, counts by what was settled of it: what it refused
// at its door is known to itself alone.
//
// Producers that bypass the gateway come in by the topic inbox. Their side is
// kept by ingest-worker, durably and message by message, because a message may
// be taken in twice there and counts once; what it forwards carries no numbers
// and is settled on the account "inbox".
package ledger
