// Package schema holds the tables that more than one service reads, in one
// place that neither owns: a column is part of a contract here, as a field of
// a proto is. Tables that one service alone reads live with it.
//
//	records  observations, metrics, contexts and their ledgers
//	         written by ingest-worker; observations are read by drift
//
// The files are migrations: they only add, until the release after.
package schema

import (
	"embed"
	"io/fs"
)

//go:embed records/*.sql
var files embed.FS

// RecordsOwner is the service whose migrations Records are.
const RecordsOwner = "ingest-worker"

// Records are the migrations of the tables of records.
func Records() fs.FS {
	sub, err := fs.Sub(files, "records")
	if err != nil {
		return files // cannot be: the name is a constant and valid
	}
	return sub
}
