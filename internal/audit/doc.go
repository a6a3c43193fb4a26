// Package audit is the mesh's account of who did what: a chain of entries, each of
// which seals all before it.
//
// The hash of an entry is SHA-256 over the hash of the one before and everything the
// entry says (Entry.Sum), so that nothing can be changed, left out, put in or
// moved without changing every hash after it. Whoever can write the store could
// compute them all anew; therefore the head of the chain is signed now and then
// (Checkpoint), by a key that the store does not hold in the clear. What was cut off
// behind the last checkpoint cannot be seen from the chain itself, only by somebody
// who keeps a later checkpoint: those are written to the log as well.
//
// The package is pure: it knows no store, no clock and no network. A chain travels
// as lines of JSON (Writer, Verify).
package audit
