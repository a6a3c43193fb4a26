// Package ledger adds up what became of everything that ever arrived at the
// doors, per tenant and signal:
//
//	accepted = stored + duplicate + rejected + sampled + dead-lettered + in flight + missing
//
// Nothing in it comes from this process, so every replica gives the same
// answer. The service that settles a signal has both sides of a gateway's way
// in: what it settled, message by message, and what the doors put on record
// before they answered (package receipt). What is on record and not settled is
// in flight, or missing: see Add.
//
// Producers that bypass the gateway come in by the topic inbox. Their side is
// kept by ingest-worker, durably and message by message, because a message may
// be taken in twice there and counts once; what it forwards carries no numbers
// and is settled on the account "inbox".
package ledger
