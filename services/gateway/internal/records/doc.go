// Package records is the door for records: it sifts each batch by the rules of
// package record, and publishes the good records. It answers only when the
// broker has them durably.
//
// Service has the three calls: one batch, many batches and one summary, many
// batches and an acknowledgement of each.
//
// Whoever is full or misses a neighbour says so with UNAVAILABLE and a retry
// hint; nothing of such a call counts as arrived unless the broker has it.
package records
