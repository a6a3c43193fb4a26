// Package door keeps what every way into the mesh has in common: the memory that
// requests may take, the publishing of what is good of them, the counts of what
// was taken in and refused, and the numbers of the messages that carry it to the
// broker. Counts and numbers belong to one gateway process and live in its
// memory; the ledger adds them to what the services settled.
package door
