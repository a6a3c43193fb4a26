// Package store writes records to ClickHouse and reads their ledger.
//
// It writes the tables of records (package schema):
//
//	table           one row per                        read by
//	observations    record of feature values           drift
//	metric_records  record of metrics (view metrics:   drift, people
//	                one row per value)
//	contexts        context                            people
//	record_ledger   message of the topic records       package receipt
//	record_receipts lane, or reason, of a door         package receipt
//	inbox_ledger    message of the topic inbox         Admitted
//
// Find and Load read records back, each as it counts: those of a trace, or of an id.
//
// A Block gathers the rows of many messages as columns and is written with one
// insert per table. Everything is idempotent: a record is one row by tenant,
// profile and id, a message one entry by its id, and writing them again changes
// no answer. Of two different records with one id the one with the higher
// content hash wins, in whatever order and however often they come.
package store
