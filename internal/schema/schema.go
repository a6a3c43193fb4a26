// Package schema holds the tables that more than one service reads, in one
// place that neither owns: a column is part of a contract here, as a field of
// a proto is. Tables that one service alone reads live with it.
//
//	records  observations, labels, metrics, contexts and their ledgers
//	         written by ingest-worker; observations and labels are read by drift
//	spans    spans, their index and their ledger
//	         written by trace-store; spans and index are read by drift
//
// The files are migrations: they only add, until the release after.
package schema

import (
	"embed"
	"io/fs"
)

//go:embed records/*.sql spans/*.sql
var files embed.FS

// RecordsOwner is the service whose migrations Records are, and SpansOwner that of
// Spans.
const (
	RecordsOwner = "ingest-worker"
	SpansOwner   = "trace-store"
)

// Records are the migrations of the tables of records.
func Records() fs.FS { return folder("records") }

// Spans are the migrations of the tables of spans.
func Spans() fs.FS { return folder("spans") }

func folder(name string) fs.FS {
	sub, err := fs.Sub(files, name)
	if err != nil {
		return files // cannot be: the name is a constant and valid
	}
	return sub
}
