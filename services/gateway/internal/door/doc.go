// Package door keeps what every way into the mesh has in common: the memory that
// requests may take, the publishing of what is good of them, and the receipts by
// which the ledger knows, whatever becomes of this process, what was taken in.
//
//	load ──▶ Open: tickets ──▶ publish ──▶ Commit: receipt ──▶ answer
//	                             │ failed: try again    │ failed: try again
//
// Nothing here counts for the ledger but what is on record.
package door
