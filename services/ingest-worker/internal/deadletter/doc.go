// Package deadletter keeps what workers have parked where people can see it,
// and sends it on its way again.
//
//	consumes  <topic>.dlq of every topic (group dead-letters)
//	produces  redriven messages, on the topics they came from
//	serves    driftmesh.deadletter.v1.DeadLetterService
//	owns      tables dead_letters, dead_letter_redrives
//
// A broker's queue is no place to look something up: some cannot be read
// without consuming, and none knows tenants. So letters move from the DLQ into
// a table, whole, each before it is acknowledged. A letter that cannot be
// written stays on the DLQ, for as long as it takes.
//
// A redrive publishes the message under a new id, because brokers drop an id
// that they have seen, with its first one in the header driftmesh-origin: the
// ledger's row of the message is replaced and not doubled. The new id follows
// from the letter and its version, so two redrives at the same time are one
// message where the broker drops duplicates, and count once where not.
package deadletter
